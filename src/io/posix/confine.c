/*
 * Giving up rights, by the three means Linux has for a process without privileges: no new
 * privileges, Landlock for files and TCP (landlock(7)), a filter of system calls (confine_calls.c).
 * Each is taken as far as the kernel has it; what was reached is told, and never given back.
 */
#include "io/posix/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h, which knows only what its own kernel had: ABI 1 to 6. */
enum {
    RULE_PATH_BENEATH = 1,
    RULE_PORT = 2,
    CREATE_VERSION = 1,
    SCOPE_ABSTRACT_UNIX = 1,
    SCOPE_SIGNAL = 2
};
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NETWORK = 4, ABI_IOCTL = 5, ABI_SCOPE = 6 };
enum {
    MAY_EXECUTE = 1 << 0,
    MAY_WRITE_FILE = 1 << 1,
    MAY_READ_FILE = 1 << 2,
    MAY_READ_DIR = 1 << 3,
    MAY_REMOVE_DIR = 1 << 4,
    MAY_REMOVE_FILE = 1 << 5,
    MAY_MAKE_DIR = 1 << 7,
    MAY_MAKE_FILE = 1 << 8,
    MAY_ALL_1 = (1 << 13) - 1, /* with devices, sockets, pipes, block devices and links */
    MAY_REFER = 1 << 13,
    MAY_TRUNCATE = 1 << 14,
    MAY_IOCTL = 1 << 15
};
enum { MAY_BIND = 1 << 0, MAY_CONNECT = 1 << 1 };

struct ruleset_attr {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};
struct net_port {
    uint64_t allowed;
    uint64_t port;
};
struct path_beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

static const uint64_t reading = MAY_READ_FILE | MAY_READ_DIR;
static const uint64_t writing = MAY_READ_FILE | MAY_READ_DIR | MAY_WRITE_FILE | MAY_REMOVE_FILE
                                | MAY_REMOVE_DIR | MAY_MAKE_FILE | MAY_MAKE_DIR | MAY_REFER
                                | MAY_TRUNCATE;
static const uint64_t of_a_file = MAY_READ_FILE | MAY_WRITE_FILE | MAY_TRUNCATE;

/* What the C library, OpenSSL and name lookups read of the system; nothing of it is a secret, and
 * of /proc only what is about this process. */
static const char *const system_reads[] = {
    "/etc",         "/usr/share",           "/usr/lib", "/lib", "/lib64", "/proc/self",
    "/dev/urandom", "/run/systemd/resolve", NULL};

static uint64_t handled_by(long abi)
{
    uint64_t files = MAY_ALL_1;
    files |= abi >= ABI_REFER ? MAY_REFER : 0;
    files |= abi >= ABI_TRUNCATE ? MAY_TRUNCATE : 0;
    files |= abi >= ABI_IOCTL ? MAY_IOCTL : 0;
    return files;
}

/* A path that is not there needs no rule. */
static bool allow(int ruleset, const char *path, uint64_t allowed)
{
    struct stat at;
    int parent = open(path, O_PATH | O_CLOEXEC);
    if (parent < 0) {
        return errno == ENOENT || errno == ENOTDIR;
    }
    bool ok = fstat(parent, &at) == 0;
    if (ok) {
        struct path_beneath rule = {
            .allowed = S_ISDIR(at.st_mode) ? allowed : allowed & of_a_file,
            .parent = parent,
        };
        ok = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0;
    }
    (void)close(parent);
    return ok;
}

static bool allow_all(int ruleset, const char *const *paths, uint64_t allowed)
{
    for (size_t i = 0; paths != NULL && paths[i] != NULL; i++) {
        if (!allow(ruleset, paths[i], allowed)) {
            return false;
        }
    }
    return true;
}

static bool allow_ports(int ruleset, const struct port_rights *rights)
{
    bool ok = true;
    for (size_t i = 0; rights->dials && rights->dials_ports[i] != 0 && ok; i++) {
        struct net_port rule = {.allowed = MAY_CONNECT, .port = rights->dials_ports[i]};
        ok = syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &rule, 0) == 0;
    }
    return ok;
}

unsigned confine_files(const struct port_rights *rights, struct port_why *why)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (abi < 1) {
        port_why_set(why, "the kernel has no Landlock");
        return 0;
    }
    bool is_bound = !rights->dials || rights->dials_ports != NULL;
    bool has_network = abi >= ABI_NETWORK && is_bound;
    struct ruleset_attr attr = {
        .files = handled_by(abi),
        .network = has_network ? MAY_BIND | MAY_CONNECT : 0,
        .scoped = abi >= ABI_SCOPE ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0,
    };
    uint64_t handled = attr.files;
    size_t size = abi >= ABI_SCOPE ? sizeof attr : abi >= ABI_NETWORK ? 16 : 8;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    bool ok = ruleset >= 0 && allow_all(ruleset, system_reads, reading & handled)
              && allow_all(ruleset, rights->reads, reading & handled)
              && allow_all(ruleset, rights->writes, writing & handled)
              && (!has_network || allow_ports(ruleset, rights))
              && allow(ruleset, "/dev/null", reading | MAY_WRITE_FILE)
              && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    if (!ok) {
        port_why_set(why, "Landlock: %s", strerror(errno));
    }
    if (ruleset >= 0) {
        (void)close(ruleset);
    }
    if (!ok) {
        return 0;
    }
    return PORT_CONFINED_FILES | (has_network ? PORT_CONFINED_NETWORK : 0);
}
