// A mixed load for memcached over its Unix socket: memcached_load SOCKET SECONDS CONNECTIONS. Each
// connection has a thread that asks and waits, nine gets to a set, of 10,000 keys. Prints
// operations per second and the 99th percentile in microseconds.
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

static int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

static int connect_to(const char* path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    perror("connect");
    exit(1);
  }
  return fd;
}

// Sends, and reads until the answer ends with `end`.
static void ask(int fd, const std::string& request, const char* end) {
  if (write(fd, request.data(), request.size()) != ssize_t(request.size())) exit(1);
  std::string answer;
  char part[4096];
  while (!answer.ends_with(end)) {
    const ssize_t got = read(fd, part, sizeof part);
    if (got <= 0) exit(1);
    answer.append(part, size_t(got));
  }
}

static void run(const char* path, int64_t end_ns, uint64_t seed, std::vector<int64_t>* latencies) {
  const int fd = connect_to(path);
  const std::string value(200, 'v');
  for (uint64_t i = seed * 1'000'003;; ++i) {
    const int64_t begin = now_ns();
    if (begin >= end_ns) break;
    const std::string key = "key:" + std::to_string(i * 0x9e3779b97f4a7c15 % 10'000);
    i % 10 == 0 ? ask(fd, "set " + key + " 0 0 200\r\n" + value + "\r\n", "STORED\r\n")
                : ask(fd, "get " + key + "\r\n", "END\r\n");
    latencies->push_back(now_ns() - begin);
  }
  close(fd);
}

int main(int count, char** words) {
  if (count != 4) return 2;
  const double seconds = atof(words[2]);
  std::vector<std::vector<int64_t>> latencies(size_t(atoi(words[3])));
  std::vector<std::thread> threads;
  const int64_t end_ns = now_ns() + int64_t(seconds * 1e9);
  for (size_t i = 0; i < latencies.size(); ++i)
    threads.emplace_back([&, i] { run(words[1], end_ns, i + 1, &latencies[i]); });
  for (std::thread& thread : threads) thread.join();
  std::vector<int64_t> all;
  for (auto& part : latencies) all.insert(all.end(), part.begin(), part.end());
  if (all.empty()) return 1;
  const size_t rank = all.size() * 99 / 100;
  std::nth_element(all.begin(), all.begin() + int64_t(rank), all.end());
  printf("%.0f %.1f\n", double(all.size()) / seconds, double(all[rank]) / 1000);
}
