// First process of the emulated machine: runs each program of /tests with its output on the console, prints
// "NAME: exit STATUS" after each, and ends the emulator.
#include <dirent.h>
#include <fcntl.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace {

std::vector<std::string> programs() {
  std::vector<std::string> names;
  DIR* folder = opendir("/tests");
  while (const dirent* entry = readdir(folder))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  return names;
}

// As a shell gives it.
int status_of(const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    execl(path.c_str(), path.c_str(), nullptr);
    std::perror(path.c_str());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main() {
  mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  mount("proc", "/proc", "proc", 0, nullptr);
  const int console = open("/dev/ttyS0", O_RDWR);
  for (int stream = 0; stream < 3; ++stream) dup2(console, stream);
  for (const std::string& name : programs()) {
    const int status = status_of("/tests/" + name);
    std::printf("%s: exit %d\n", name.c_str(), status);
    std::fflush(stdout);
  }
  tcdrain(console);
  iopl(3);
  for (const unsigned char letter : std::string("Shutdown")) outb(letter, 0x8900);  // a port of Bochs
}
