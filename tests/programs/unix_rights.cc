// Descriptors in flight: sent with SCM_RIGHTS, not received when the save is taken, and open
// nowhere else.
#include <sys/socket.h>

#include "support/program.h"

static void send_fds(int socket, const int* fds, size_t count, const char* text) {
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
  iovec data = {const_cast<char*>(text), strlen(text)};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  CHECK_EQ(SYS(sendmsg(socket, &message, 0)), strlen(text));
}

static void receive_fds(int socket, int* fds, size_t count, const char* expected) {
  alignas(cmsghdr) char control[256];
  char text[64] = {};
  iovec data = {text, sizeof text};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  CHECK_EQ(SYS(recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)), strlen(expected));
  CHECK_TEXT(text, expected);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (!header) FAIL("the message \"%s\" came without its descriptors", expected);
  CHECK_EQ(header->cmsg_len, CMSG_LEN(count * sizeof(int)));
  memcpy(fds, CMSG_DATA(header), count * sizeof(int));
}

int main() {
  int stream[2], datagram[2], pipes[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
  SYS(pipe(pipes));
  CHECK_EQ(SYS(write(pipes[1], "through", 7)), 7);
  int file = SYS(open(test::path("data"), O_RDWR | O_CREAT, 0644));
  CHECK_EQ(SYS(write(file, "content", 7)), 7);
  SYS(lseek(file, 3, SEEK_SET));
  int both[] = {pipes[0], file};
  send_fds(stream[0], both, 2, "two");
  CHECK_EQ(SYS(write(stream[0], " plain", 6)), 6);
  send_fds(datagram[0], &pipes[1], 1, "one");
  close(file);
  close(pipes[0]);
  close(pipes[1]);
  checkpoint_here();

  int got[2], writer;
  receive_fds(stream[1], got, 2, "two");
  char text[16] = {};
  CHECK_EQ(SYS(read(stream[1], text, sizeof text)), 6);
  CHECK_TEXT(text, " plain");
  receive_fds(datagram[1], &writer, 1, "one");
  memset(text, 0, sizeof text);
  CHECK_EQ(SYS(read(got[0], text, sizeof text)), 7);
  CHECK_TEXT(text, "through");
  CHECK_EQ(SYS(write(writer, "again", 6)), 6);
  CHECK_EQ(SYS(read(got[0], text, sizeof text)), 6);
  CHECK_TEXT(text, "again");
  memset(text, 0, sizeof text);
  CHECK_EQ(SYS(read(got[1], text, sizeof text)), 4);
  CHECK_TEXT(text, "tent");
  done();
}
