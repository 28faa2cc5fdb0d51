#include "io/posix/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(HOLDFAST_COVERAGE)
enum { IS_WATCHED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)                            \
    || __has_feature(undefined_behavior_sanitizer)
enum { IS_WATCHED = 1 };
#else
enum { IS_WATCHED = 0 };
#endif
#else
enum { IS_WATCHED = 0 };
#endif

bool confine_cannot(struct port_why *why)
{
    if (IS_WATCHED) {
        port_why_set(why, "a build with sanitizers or coverage keeps its rights");
    }
    return IS_WATCHED;
}

/* What the loop, its sync threads, TLS, SQLite and the C library ask of the kernel. */
static const char *const needed[] = {
    /* bytes */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek",
    "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "accept", "accept4", "getsockopt",
    "setsockopt", "getsockname", "getpeername", "close", "dup", "dup2", "dup3", "fcntl", "ioctl",
    "pipe2", "eventfd2",
    /* files */
    "open", "openat", "stat", "fstat", "lstat", "newfstatat", "statx", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "getcwd", "fsync", "fdatasync", "ftruncate",
    "fallocate", "sync_file_range", "flock", "rename", "renameat", "renameat2", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "getdents64", "chmod", "fchmod", "fchmodat", "fchown",
    "umask", "utimensat", "statfs", "fstatfs", "fadvise64", "inotify_init1", "inotify_add_watch",
    "inotify_rm_watch",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "select", "pselect6", "futex", "nanosleep", "clock_nanosleep", "restart_syscall", "sched_yield",
    /* memory */
    "brk", "munmap", "mremap", "madvise", "msync", "mincore",
    /* threads and the process itself */
    "clone", "clone3", "set_robust_list", "rseq", "membarrier", "exit", "exit_group", "getpid",
    "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "tgkill", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "prctl", "prlimit64",
    "getrlimit", "getrusage", "times", "uname", "sysinfo", "sched_getaffinity", "getcpu",
    /* time and chance */
    "clock_gettime", "clock_getres", "gettimeofday", "time", "adjtimex", "clock_adjtime",
    "getrandom"};

/* For who calls others: addresses are looked up over UDP and netlink, and libraries for it loaded.
 */
static const char *const of_dialling[] = {"socket",     "connect",  "bind",
                                          "socketpair", "recvmmsg", "sendmmsg"};

/* Nothing of ours ever asks for these. */
static const char *const never[] = {"execve",
                                    "execveat",
                                    "ptrace",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "mount",
                                    "umount2",
                                    "pivot_root",
                                    "chroot",
                                    "setns",
                                    "unshare",
                                    "init_module",
                                    "finit_module",
                                    "delete_module",
                                    "kexec_load",
                                    "bpf",
                                    "userfaultfd",
                                    "perf_event_open",
                                    "keyctl",
                                    "add_key",
                                    "request_key",
                                    "reboot",
                                    "swapon",
                                    "swapoff",
                                    "setuid",
                                    "setgid",
                                    "setreuid",
                                    "setregid",
                                    "setresuid",
                                    "setresgid",
                                    "open_by_handle_at",
                                    "kcmp",
                                    "pidfd_getfd",
                                    "acct",
                                    "iopl",
                                    "ioperm"};

static atomic_ullong refused;

uint64_t confine_refused(void)
{
    return atomic_load(&refused);
}

/* The kernel has skipped the call; what it returns is set here. Only async-signal-safe calls. */
static void on_refused(int number, siginfo_t *info, void *context)
{
    (void)number;
    ucontext_t *at = context;
    char line[] = "system call     was refused\n";
    unsigned call = (unsigned)info->si_syscall;
    for (size_t digit = 14; call > 0 && digit > 11; digit--, call /= 10) {
        line[digit] = (char)('0' + call % 10);
    }
    if (atomic_fetch_add(&refused, 1) < 16) {
        (void)!write(STDERR_FILENO, line, sizeof line - 1);
    }
#if defined(__x86_64__)
    at->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    at->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#else
#error "which register holds the result of a system call?"
#endif
}

/* A call this kernel or machine does not have needs no rule. */
static int rule(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);
    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, action, number, 0);
}

/* Memory that can be executed is made at the start, and for libraries of name lookups. */
static int rule_without_exec(scmp_filter_ctx filter, const char *name)
{
    struct scmp_arg_cmp no_exec = {.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 1,
                                  &no_exec);
}

static int add_rules(scmp_filter_ctx filter, const struct port_rights *rights)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < COUNT_OF(needed) && failed == 0; i++) {
        failed = rule(filter, SCMP_ACT_ALLOW, needed[i]);
    }
    for (size_t i = 0; i < COUNT_OF(never) && failed == 0; i++) {
        failed = rule(filter, SCMP_ACT_KILL_PROCESS, never[i]);
    }
    for (size_t i = 0; rights->dials && i < COUNT_OF(of_dialling) && failed == 0; i++) {
        failed = rule(filter, SCMP_ACT_ALLOW, of_dialling[i]);
    }
    static const char *const mapping[] = {"mmap", "mprotect"};
    for (size_t i = 0; i < COUNT_OF(mapping) && failed == 0; i++) {
        failed = rights->dials ? rule(filter, SCMP_ACT_ALLOW, mapping[i])
                               : rule_without_exec(filter, mapping[i]);
    }
    if (failed == 0 && !rights->dials && rights->dials_local) {
        failed = rule(filter, SCMP_ACT_ALLOW, "socket") | rule(filter, SCMP_ACT_ALLOW, "connect");
    }
    return failed;
}

unsigned confine_calls(const struct port_rights *rights, struct port_why *why)
{
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    int failed = filter == NULL ? -ENOMEM : add_rules(filter, rights);
    if (failed == 0) {
        failed = sigaction(SIGSYS, &action, NULL) == 0 ? seccomp_load(filter) : -errno;
    }
    if (filter != NULL) {
        seccomp_release(filter);
    }
    if (failed != 0) {
        port_why_set(why, "the filter of system calls: %s", strerror(-failed));
        return 0;
    }
    return PORT_CONFINED_CALLS;
}
