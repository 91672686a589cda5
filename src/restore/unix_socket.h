// Unix sockets of an epoch, made in an order in which each finds what it needs: names, listening
// sockets, connections, then the queues once every description exists that may be in flight in
// them.
#pragma once

#include <map>
#include <optional>
#include <utility>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "restore/file_kinds.h"

namespace perdure::restore {

class UnixSockets {
 public:
  explicit UnixSockets(FileMaker* maker) : maker_(maker) {}

  Status make();
  // Queues, then what would stand in their way: datagram connections, options, half-closed
  // directions, closed peers.
  Status fill();

 private:
  using Pair = std::pair<Fd, Fd>;
  const object::UnixSocket& socket(ObjectId id) const;
  std::optional<ObjectId> find_named(const std::string& name, int type) const;
  const object::UnixSocket* find_listener(const object::UnixSocket& accepted) const;
  bool is_mutual(ObjectId id) const;

  Status make_bound(ObjectId id);
  Status make_alone();
  Status make_connected();
  Status make_pair(ObjectId id, ObjectId peer);
  Status make_with_lost_peer(ObjectId id);
  Status make_waiting();
  // Client and server end of a connection that was accepted, with the server's name.
  Result<Pair> connect_to(const object::UnixSocket& server, const object::UnixSocket* client);
  Result<Fd> listen_for_a_moment(const object::UnixSocket& server);

  Status fill_queue(ObjectId id);
  Status send(ObjectId id, const object::UnixMessage& message, size_t room);
  Status finish(ObjectId id);

  FileMaker* maker_;
  std::map<ObjectId, Fd> lost_peers_;  // stand-ins that have closed when the restore is done
  std::map<ObjectId, bool> paired_;    // datagram sockets made by socketpair(2)
};

}  // namespace perdure::restore
