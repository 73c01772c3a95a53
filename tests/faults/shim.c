/* Loaded before the C library: the n-th call that touches a folder is killed, cut or made to fail.

   What is counted are calls on names and open files below the folder, in the order they come.
   Set by fault_arm, from a process that has it loaded, or by the environment (FAULT_ROOT, FAULT_AT,
   FAULT_ACTION, FAULT_VALUE, FAULT_LOG) from the start. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum Action { COUNT, KILL_BEFORE, KILL_AFTER, TEAR, FAIL, FAIL_FROM, SIGNAL };

static char root[4096];
static size_t root_length;
static long at = -1;
static int action, value, log_file = -1;
static atomic_long seen;

void fault_arm(const char *folder, long n, int what, int with, const char *log) {
    root_length = 0;
    snprintf(root, sizeof root, "%s", folder);
    at = n;
    action = what;
    value = with;
    atomic_store(&seen, 0);
    if (log != NULL && *log != 0) {
        log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    root_length = strlen(root);
}

__attribute__((constructor)) static void from_environment(void) {
    const char *folder = getenv("FAULT_ROOT");
    if (folder != NULL) {
        const char *n = getenv("FAULT_AT"), *what = getenv("FAULT_ACTION"), *with = getenv("FAULT_VALUE");
        fault_arm(folder, n ? atol(n) : -1, what ? atoi(what) : COUNT, with ? atoi(with) : 0,
                  getenv("FAULT_LOG"));
    }
}

static int is_ours(const char *path) {
    return root_length > 0 && path != NULL && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static const char *path_of(int file, char *out, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, out, size - 1);
    out[length < 0 ? 0 : length] = 0;
    return out;
}

/* Whether a call is to fail; `writes` says whether a full disk would refuse it. */
static int is_refused(const char *what, const char *path, int writes) {
    if (!is_ours(path)) {
        return 0;
    }
    long number = atomic_fetch_add(&seen, 1);
    if (log_file >= 0) {
        char line[4300];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path + root_length);
        syscall(SYS_write, log_file, line, (size_t)length);
    }
    if (action == FAIL_FROM && number >= at && writes) {
        errno = value;
        return 1;
    }
    if (number != at) {
        return 0;
    }
    if (action == KILL_BEFORE) {
        kill(getpid(), SIGKILL);
    }
    if (action == SIGNAL) {
        kill(getpid(), value);
    }
    if (action == FAIL) {
        errno = value;
        return 1;
    }
    return 0;
}

/* After a call: the process ends here, where that was asked for. */
static void end_here(const char *path) {
    int saved = errno;
    if ((action == KILL_AFTER || action == TEAR) && is_ours(path) && atomic_load(&seen) == at + 1) {
        kill(getpid(), SIGKILL);
    }
    errno = saved;
}

static size_t cut(const char *path, size_t size) {
    return action == TEAR && is_ours(path) && atomic_load(&seen) == at + 1 ? size / 2 : size;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENING(name)                                                        \
    int name(const char *path, int flags, ...) {                             \
        va_list rest;                                                        \
        va_start(rest, flags);                                               \
        mode_t mode = va_arg(rest, mode_t);                                  \
        va_end(rest);                                                        \
        int writes = (flags & O_ACCMODE) != O_RDONLY;                        \
        if (is_refused(writes ? "open_w" : "open_r", path, writes)) return -1; \
        int file = REAL(name)(path, flags, mode);                            \
        end_here(path);                                                      \
        return file;                                                         \
    }
OPENING(open)
OPENING(open64)

#define OPENING_FILE(name)                                                   \
    FILE *name(const char *path, const char *mode) {                         \
        int writes = mode[0] != 'r';                                         \
        if (is_refused(writes ? "open_w" : "open_r", path, writes)) return NULL; \
        FILE *file = REAL(name)(path, mode);                                 \
        end_here(path);                                                      \
        return file;                                                         \
    }
OPENING_FILE(fopen)
OPENING_FILE(fopen64)

#define ON_FILE(type, name, what, writes, failed, parameters, size, call)    \
    type name parameters {                                                   \
        char path[4200];                                                     \
        if (file < 3 || root_length == 0) return REAL(name) call;            \
        path_of(file, path, sizeof path);                                    \
        if (is_refused(what, path, writes)) return failed;                   \
        size;                                                                \
        type result = REAL(name) call;                                       \
        end_here(path);                                                      \
        return result;                                                       \
    }
ON_FILE(ssize_t, write, "write", 1, -1, (int file, const void *data, size_t n), n = cut(path, n), (file, data, n))
ON_FILE(ssize_t, pwrite, "write", 1, -1, (int file, const void *data, size_t n, off_t to), n = cut(path, n), (file, data, n, to))
ON_FILE(ssize_t, pwrite64, "write", 1, -1, (int file, const void *data, size_t n, off64_t to), n = cut(path, n), (file, data, n, to))
ON_FILE(ssize_t, writev, "write", 1, -1, (int file, const struct iovec *data, int n), (void)0, (file, data, n))
ON_FILE(ssize_t, read, "read", 0, -1, (int file, void *data, size_t n), (void)0, (file, data, n))
ON_FILE(ssize_t, pread, "read", 0, -1, (int file, void *data, size_t n, off_t from), (void)0, (file, data, n, from))
ON_FILE(ssize_t, pread64, "read", 0, -1, (int file, void *data, size_t n, off64_t from), (void)0, (file, data, n, from))
ON_FILE(int, fsync, "fsync", 1, -1, (int file), (void)0, (file))
ON_FILE(int, fdatasync, "fsync", 1, -1, (int file), (void)0, (file))
ON_FILE(int, ftruncate, "write", 1, -1, (int file, off_t n), (void)0, (file, n))
ON_FILE(int, ftruncate64, "write", 1, -1, (int file, off64_t n), (void)0, (file, n))

size_t fwrite(const void *data, size_t size, size_t n, FILE *stream) {
    char path[4200];
    int file = fileno(stream);
    if (file < 3 || root_length == 0) return REAL(fwrite)(data, size, n, stream);
    path_of(file, path, sizeof path);
    if (is_refused("write", path, 1)) return 0;
    size_t done = REAL(fwrite)(data, size, cut(path, n), stream);
    end_here(path);
    return done;
}

size_t fread(void *data, size_t size, size_t n, FILE *stream) {
    char path[4200];
    int file = fileno(stream);
    if (file < 3 || root_length == 0) return REAL(fread)(data, size, n, stream);
    path_of(file, path, sizeof path);
    if (is_refused("read", path, 0)) return 0;
    size_t done = REAL(fread)(data, size, n, stream);
    end_here(path);
    return done;
}

#define ON_NAME(name, what, writes, parameters, path, call)                  \
    int name parameters {                                                    \
        if (is_refused(what, path, writes)) return -1;                       \
        int result = REAL(name) call;                                        \
        end_here(path);                                                      \
        return result;                                                       \
    }
ON_NAME(rename, "rename", 1, (const char *from, const char *to), to, (from, to))
ON_NAME(unlink, "unlink", 0, (const char *path), path, (path))
ON_NAME(rmdir, "rmdir", 0, (const char *path), path, (path))
ON_NAME(mkdir, "mkdir", 1, (const char *path, mode_t mode), path, (path, mode))
