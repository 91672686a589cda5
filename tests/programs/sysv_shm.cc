// System V shared memory: id, key, mode, attachments at their addresses, a segment marked for
// removal.
#include <sys/ipc.h>
#include <sys/shm.h>

#include "support/program.h"

static constexpr size_t kSize = 5 * 4096;

int main() {
  key_t key = 0x50440000 + getpid() % 60000;
  int named = SYS(shmget(key, kSize, IPC_CREAT | IPC_EXCL | 0640));
  int doomed = SYS(shmget(IPC_PRIVATE, kSize, IPC_CREAT | 0600));
  auto* first = static_cast<uint8_t*>(SYS(shmat(named, nullptr, 0)));
  auto* second = static_cast<uint8_t*>(SYS(shmat(named, nullptr, SHM_RDONLY)));
  auto* third = static_cast<uint8_t*>(SYS(shmat(doomed, nullptr, 0)));
  SYS(shmctl(doomed, IPC_RMID, nullptr));
  fill(first, kSize, 1);
  fill(third, kSize, 3);
  pid_t child = SYS(fork());
  if (child == 0) {
    await_mark("ask");
    check_filled(first, kSize, 2, "the child's view");
    check_filled(third, kSize, 4, "the child's view of the removed segment");
    first[7] = 0x7e;
    _exit(0);
  }
  checkpoint_here();

  check_filled(second, kSize, 1, "the read-only view");
  check_filled(third, kSize, 3, "the removed segment");
  fill(first, kSize, 2);
  fill(third, kSize, 4);
  mark("ask");
  check_child(child);
  CHECK_EQ(second[7], 0x7e);
  CHECK_EQ(SYS(shmget(key, 0, 0)), named);
  shmid_ds info;
  SYS(shmctl(named, IPC_STAT, &info));
  CHECK_EQ(info.shm_segsz, kSize);
  CHECK_EQ(info.shm_perm.mode & 0777, 0640);
  CHECK_EQ(info.shm_nattch, 2);
  SYS(shmdt(first));
  SYS(shmdt(second));
  SYS(shmctl(named, IPC_RMID, nullptr));
  CHECK(shmget(key, 0, 0) == -1 && errno == ENOENT);
  done();
}
