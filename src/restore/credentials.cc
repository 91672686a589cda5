#include "restore/credentials.h"

#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <vector>

#include "kernel/abi/capability.h"

namespace perdure::restore {
namespace {

namespace abi = kernel::abi;

constexpr uint32_t kUnchanged = ~0u;  // setfsuid(2): an invalid id, so that the call only tells
// While ids change, the kernel must not take capabilities away by itself.
constexpr uint32_t kKeepAll = SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP;

void set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable,
                      RemoteCalls* calls) {
  const RemoteAddr header =
      calls->batch().in_value(abi::CapabilityHeader{abi::kCapabilityVersion, 0});
  const RemoteAddr data =
      calls->batch().in_value(abi::capability_data(effective, permitted, inheritable));
  calls->add("set its capabilities", SYS_capset, {header, data});
  calls->remedy("run the restore with the capabilities that the saved process had");
}

// setfsuid(2) cannot fail; what it set is read back by a call that sets nothing.
void set_filesystem_id(long number, uint32_t id, RemoteCalls* calls) {
  calls->batch().call(number, {id});
  calls->add_expecting(id, "set its file system user or group id", number, {kUnchanged});
}

void add_groups(const object::Credentials& credentials, RemoteCalls* calls) {
  const std::vector<uint32_t> groups(credentials.groups().begin(), credentials.groups().end());
  const RemoteAddr at = calls->batch().in(
      Bytes(reinterpret_cast<const uint8_t*>(groups.data()), groups.size() * sizeof(uint32_t)));
  calls->add("set its supplementary groups", SYS_setgroups, {groups.size(), at});
}

void add_ids(const object::Credentials& credentials, RemoteCalls* calls) {
  calls->add("set its group ids", SYS_setresgid,
             {credentials.gid(), credentials.egid(), credentials.sgid()});
  set_filesystem_id(SYS_setfsgid, credentials.fsgid(), calls);
  calls->add("set its user ids", SYS_setresuid,
             {credentials.uid(), credentials.euid(), credentials.suid()});
  set_filesystem_id(SYS_setfsuid, credentials.fsuid(), calls);
}

void add_ambient(uint64_t ambient, RemoteCalls* calls) {
  calls->add("clear its ambient capabilities", SYS_prctl,
             {PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0});
  for (int capability = 0; capability < abi::kCapabilityBits; ++capability) {
    if ((ambient & abi::capability_bit(capability)) == 0) continue;
    calls->add("raise its ambient capability " + std::to_string(capability), SYS_prctl,
               {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0});
  }
}

// Also capabilities that only this kernel knows: the saved process could not have had them.
void add_bounding(uint64_t bounding, RemoteCalls* calls) {
  for (int capability = 0; capability < abi::kCapabilityBits; ++capability) {
    if ((bounding & abi::capability_bit(capability)) != 0) continue;
    calls->add_tolerating(EINVAL, "drop capability " + std::to_string(capability), SYS_prctl,
                          {PR_CAPBSET_DROP, capability, 0, 0, 0});
  }
}

}  // namespace

Status check_credentials_possible(const object::Credentials& wanted, uint64_t have_permitted,
                                  uint64_t have_bounding, std::string_view who) {
  const uint64_t missing =
      (wanted.cap_permitted() & ~have_permitted) | (wanted.cap_bounding() & ~have_bounding);
  if (missing == 0) return {};
  std::string list;
  for (int capability = 0; capability < abi::kCapabilityBits; ++capability) {
    if ((missing & abi::capability_bit(capability)) == 0) continue;
    list.append(list.empty() ? "" : ", ").append(abi::capability_name(capability));
  }
  return Error(Code::kPermission,
               std::string(who) + " had capabilities that this restore lacks: " + list)
      .with_remedy("run the restore with them, for example as root outside of a container");
}

void add_credentials(const object::Credentials& credentials, RemoteCalls* calls) {
  const uint64_t working = credentials.cap_permitted() | abi::capability_bit(abi::kCapSetpcap);
  calls->add("keep its capabilities while ids change", SYS_prctl,
             {PR_SET_SECUREBITS, kKeepAll, 0, 0, 0});
  add_groups(credentials, calls);
  add_ids(credentials, calls);
  // Inheritable capabilities must be within the bounding set when they are added: before the drops.
  set_capabilities(working, working, credentials.cap_inheritable(), calls);
  add_ambient(credentials.cap_ambient(), calls);
  add_bounding(credentials.cap_bounding(), calls);
  calls->add("set its securebits", SYS_prctl,
             {PR_SET_SECUREBITS, credentials.securebits(), 0, 0, 0});
  set_capabilities(credentials.cap_effective(), credentials.cap_permitted(),
                   credentials.cap_inheritable(), calls);
  if (!credentials.no_new_privs()) return;
  calls->add("set no_new_privs", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0});
}

}  // namespace perdure::restore
