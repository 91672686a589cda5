// An asynchronous I/O context (io_setup) that was not used yet, as nginx has one: its id and ring
// work afterwards.
#include <linux/aio_abi.h>

#include "support/program.h"

static char buffer[512];

static void read_through(aio_context_t context, int fd) {
  iocb request = {};
  request.aio_lio_opcode = IOCB_CMD_PREAD;
  request.aio_fildes = uint32_t(fd);
  request.aio_buf = reinterpret_cast<uint64_t>(buffer);
  request.aio_nbytes = 7;
  request.aio_data = 4711;
  iocb* list[] = {&request};
  memset(buffer, 0, sizeof buffer);
  CHECK_EQ(SYS(syscall(SYS_io_submit, context, 1, list)), 1);
  io_event event = {};
  CHECK_EQ(SYS(syscall(SYS_io_getevents, context, 1, 1, &event, nullptr)), 1);
  CHECK_EQ(event.data, 4711);
  CHECK_EQ(event.res, 7);
  CHECK_TEXT(buffer, "content");
}

int main() {
  aio_context_t context = 0;
  SYS(syscall(SYS_io_setup, 32, &context));
  int fd = SYS(open(test::path("data"), O_RDWR | O_CREAT, 0644));
  CHECK_EQ(SYS(write(fd, "content", 7)), 7);
  checkpoint_here();
  for (int i = 0; i < 50; ++i) read_through(context, fd);
  SYS(syscall(SYS_io_destroy, context));
  done();
}
