/*
 * Device services and keeper in processes of their own; curl and the openssl command line are the
 * clients, as any stranger's would be.
 */
#include "codec/x509.h"
#include "role/control_devices.h"
#include "role/keeper.h"
#include "role/pki_init.h"
#include "test/shell.h"
#include "test/test.h"
#include "trust/trust_list.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char data[300];

/* ---- the services' process ---- */

struct service {
    struct port *port;
    struct registry *registry;
    struct control_devices *devices;
    int ready_fd;
};

static void on_broken(void *context, const char *why)
{
    (void)context;
    (void)fprintf(stderr, "broken: %s\n", why);
    _exit(3);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct service *s = role;
    if (ev->kind == PORT_TERMINATE) {
        port_stop(s->port);
    } else if (s->devices != NULL) {
        (void)control_devices_event(s->devices, ev);
        if (s->ready_fd >= 0 && control_devices_is_ready(s->devices)) {
            char text[16];
            int len = snprintf(text, sizeof text, "%u\n", control_devices_port(s->devices));
            (void)!write(s->ready_fd, text, (size_t)len);
            (void)close(s->ready_fd);
            s->ready_fd = -1;
        }
    }
}

static _Noreturn void serve(int ready_fd, bool require_linking, uint64_t lifetime_ms)
{
    char path[400];
    struct port_why why = {0};
    struct service s = {.ready_fd = ready_fd};
    s.port = port_open(on_event, &s);
    (void)snprintf(path, sizeof path, "%s/registry.db", data);
    if (registry_open(s.port, path, true, &s.registry, &why) != REGISTRY_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        _exit(1);
    }
    struct control_devices_options options = {
        .data = data,
        .listen = "127.0.0.1:0",
        .domain = "holdfast.local",
        .require_linking = require_linking,
        .lifetime_ms = lifetime_ms,
        .registry = s.registry,
        .broken = on_broken,
    };
    if (!control_devices_open(s.port, &options, &s.devices, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        _exit(1);
    }
    port_run(s.port);
    control_devices_close(s.devices);
    registry_close(s.registry);
    port_close_all(s.port);
    _exit(0);
}

/* ---- the test's side ---- */

static pid_t keeper_pid;
static pid_t service_pid;
static unsigned service_port;

static void ignore_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void start_keeper(void)
{
    keeper_pid = fork();
    if (keeper_pid == 0) {
        struct keeper_config config = {.data = data,
                                       .domain = "holdfast.local",
                                       .device_lifetime_max_ms = UINT64_C(91) * 86400000};
        _exit(keeper_run(&config));
    }
}

static void stop(pid_t *pid, int signal)
{
    if (*pid > 0) {
        (void)kill(*pid, signal);
        (void)waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

static bool start_service(bool require_linking, uint64_t lifetime_ms)
{
    int fds[2];
    char text[16] = {0};
    if (pipe(fds) != 0) {
        return false;
    }
    service_pid = fork();
    if (service_pid == 0) {
        (void)close(fds[0]);
        serve(fds[1], require_linking, lifetime_ms);
    }
    (void)close(fds[1]);
    ssize_t got = read(fds[0], text, sizeof text - 1); /* until it is ready, or is gone */
    (void)close(fds[0]);
    service_port = (unsigned)strtoul(text, NULL, 10);
    return got > 0 && service_port != 0;
}

/* A site, a manufacturer that it accepts and another, and devices of both. */
static bool make_world(void)
{
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct device_id id;
    char a[300];
    char b[300];
    char out[300];
    (void)snprintf(data, sizeof data, "%s/data", test_scratch_dir());
    (void)snprintf(a, sizeof a, "%s/factory", test_scratch_dir());
    (void)snprintf(b, sizeof b, "%s/stranger", test_scratch_dir());
    struct pki_site site = {.data = data, .name = "Northsea", .domain = "holdfast.local"};
    bool made = pki_make_site(port, &site, &why) == PKI_OK
                && pki_make_manufacturer(port, a, "Hydra", &why) == PKI_OK
                && pki_make_manufacturer(port, b, "Nobody", &why) == PKI_OK;
    static const char *const devices[] = {"d1", "d2", "d3"};
    for (size_t i = 0; made && i < COUNT_OF(devices); i++) {
        (void)snprintf(out, sizeof out, "%s/%s", test_scratch_dir(), devices[i]);
        made = pki_make_idevid(port, a, i == 2 ? "d1" : devices[i], "P4", out, &id, &why) == PKI_OK;
    }
    (void)snprintf(out, sizeof out, "%s/s1", test_scratch_dir());
    made = made && pki_make_idevid(port, b, "s1", "P4", out, &id, &why) == PKI_OK;
    port_close_all(port);
    return made && shell("cp factory/manufacturer.pem data/pki/manufacturers/hydra.pem");
}

static void stop_all(void)
{
    stop(&service_pid, SIGTERM);
    stop(&keeper_pid, SIGTERM);
}

static bool start_all(bool require_linking)
{
    static bool is_registered;
    stop_all(); /* a test that ended early left them */
    if (!is_registered) {
        is_registered = atexit(stop_all) == 0;
    }
    if (!make_world()) {
        return false;
    }
    start_keeper();
    return start_service(require_linking, UINT64_C(7) * 86400000);
}

/* curl with this identity ("d1/idevid", or "" for none); gives the HTTP status, 0 where there was
 * none. */
static int curl(const char *identity, const char *path, const char *more)
{
    char key[200] = "";
    char text[16] = {0};
    if (identity[0] != '\0') {
        (void)snprintf(key, sizeof key, "--cert %s.pem --key %s.key", identity, identity);
    }
    (void)shell(
        "curl -s --tlsv1.3 --cacert data/pki/root.pem %s -o answer -D head -w '%%{http_code}' %s "
        "https://localhost:%u%s; true",
        key, more, service_port, path);
    struct slice said = shell_read("out", text, sizeof text - 1);
    text[said.len] = '\0';
    return atoi(text);
}

#define NEW_KEY(name) "openssl ecparam -name prime256v1 -genkey -noout -out " name ".key && "
#define CSR(name)                                                                                  \
    "openssl req -new -key " name ".key -subj /CN=ignored -outform DER | openssl base64 -A >" name \
    ".csr"
#define POST(name) "-H 'Content-Type: application/pkcs10' --data-binary @" name ".csr"
#define TAKE(name)                                                                                 \
    "openssl base64 -d -A <answer | openssl pkcs7 -inform DER -print_certs | openssl x509 "        \
    "-out " name ".pem"

static bool is_answer(const char *name, const char *word)
{
    char text[8192] = {0};
    (void)shell_read(name, text, sizeof text - 1);
    return strstr(text, word) != NULL;
}

TEST("a stock client enrols with its IDevID and gets a certificate that openssl verifies")
{
    REQUIRE(start_all(false));
    CHECK(curl("", "/.well-known/est/cacerts", "") == 200);
    CHECK(shell("openssl base64 -d -A <answer | openssl pkcs7 -inform DER -print_certs >ca.pem && "
                "grep -c BEGIN ca.pem | grep -qx 2 && openssl verify -CAfile data/pki/root.pem "
                "data/pki/issuer.pem"));
    CHECK(is_answer("head", "application/pkcs7-mime"));
    CHECK(curl("", "/.well-known/est/csrattrs", "") == 200);
    CHECK(shell("openssl base64 -d -A <answer | openssl asn1parse -inform DER")
          && shell_said("prime256v1"));
    CHECK(!shell_said("challengePassword"));

    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    CHECK(curl("d1/idevid", "/.well-known/est/simpleenroll", POST("l1")) == 200);
    CHECK(is_answer("head", "application/pkcs7-mime; smime-type=certs-only"));
    CHECK(!is_answer("head", "ransfer-Encoding: base64"));
    REQUIRE(shell(TAKE("l1")));
    CHECK(shell("openssl verify -x509_strict -purpose sslclient -CAfile data/pki/root.pem "
                "-untrusted data/pki/issuer.pem l1.pem"));
    CHECK(shell("test \"$(openssl pkey -in l1.key -pubout)\" = \"$(openssl x509 -in l1.pem -noout "
                "-pubkey)\""));
    REQUIRE(shell("openssl x509 -in l1.pem -noout -subject -text"));
    CHECK(shell_said("subject=serialNumber = d1\n"));
    CHECK(shell_said("URI:spiffe://holdfast.local/device/hf1:") && shell_said("othername"));
    CHECK(
        shell("id=$( (printf 'holdfast device 1\\000'; openssl pkey -in d1/idevid.key -pubout "
              "-outform DER) | sha256sum | "
              "cut -c1-32); openssl x509 -in l1.pem -noout -text | grep -q \"device/hf1:$id\\$\""));
    stop_all();
}

TEST("the same request gets the same certificate, also after both processes were killed, and one "
     "entry")
{
    REQUIRE(start_all(false));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    CHECK(curl("d1/idevid", "/.well-known/est/simpleenroll", POST("l1")) == 200);
    REQUIRE(shell("cp answer first"));
    CHECK(curl("d1/idevid", "/.well-known/est/any-label/simpleenroll", POST("l1")) == 200);
    CHECK(shell("cmp answer first"));
    stop(&service_pid, SIGKILL);
    stop(&keeper_pid, SIGKILL);
    start_keeper();
    REQUIRE(start_service(false, UINT64_C(7) * 86400000));
    CHECK(curl("d1/idevid", "/.well-known/est/simpleenroll", POST("l1")) == 200);
    CHECK(shell("cmp answer first"));
    stop_all();
    CHECK(shell("python3 -c \"import sqlite3; c=sqlite3.connect('data/registry.db'); "
                "assert c.execute(\\\"select count(*) from entries where "
                "kind='certificate-issued'\\\").fetchone()[0]==1; "
                "assert c.execute('select name, serial, model, manufacturer, state from "
                "devices').fetchall()=="
                "[('d1','d1','P4','Hydra',2)]\""));
}

/* What a stock client asks with to renew CERT: its names copied by openssl, signed by another key.
 */
#define RENEW(cert, key, name)                                                                     \
    "openssl x509 -x509toreq -in " cert ".pem -signkey " key                                       \
    ".key -copy_extensions copy -out r.pem && openssl req -in r.pem -outform DER | openssl "       \
    "base64 "                                                                                      \
    ">" name ".csr"

TEST("a certificate is renewed with itself, with its own names and a new key only")
{
    static const char again[] = "/.well-known/est/simplereenroll";
    static const char first[] = "/.well-known/est/simpleenroll";
    REQUIRE(start_all(false));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1") " && " NEW_KEY("l2") "true"));
    REQUIRE(curl("d1/idevid", first, POST("l1")) == 200);
    REQUIRE(shell(TAKE("l1")));
    REQUIRE(shell(RENEW("l1", "l1", "same")));
    CHECK(curl("l1", again, POST("same")) == 403 && is_answer("answer", "HF-3211"));
    REQUIRE(shell(
        "openssl req -new -key l2.key -subj /CN=d1 -outform DER | openssl base64 -A >other.csr"));
    CHECK(curl("l1", again, POST("other")) == 403 && is_answer("answer", "HF-3215"));
    REQUIRE(shell("openssl req -new -key l2.key -subj /serialNumber=d1 -outform DER | openssl "
                  "base64 -A >bare.csr"));
    CHECK(curl("l1", again, POST("bare")) == 403 && is_answer("answer", "HF-3216"));
    REQUIRE(shell(RENEW("l1", "l2", "l2")));
    CHECK(curl("d1/idevid", again, POST("l2")) == 403 && is_answer("answer", "HF-3202"));
    CHECK(curl("l1", first, POST("l2")) == 403 && is_answer("answer", "HF-3202"));
    CHECK(curl("l1", again, POST("l2")) == 200);
    REQUIRE(shell("cp answer second && " TAKE("l2")));
    CHECK(shell("openssl verify -CAfile data/pki/root.pem -untrusted data/pki/issuer.pem l2.pem && "
                "test \"$(openssl x509 -in l1.pem -noout -subject -ext subjectAltName)\" = "
                "\"$(openssl x509 -in l2.pem -noout -subject -ext subjectAltName)\""));
    /* The answer was lost: the old certificate still asks, and gets the same. */
    CHECK(curl("l1", again, POST("l2")) == 200 && shell("cmp answer second"));
    /* The new one is used: the old is over. */
    REQUIRE(shell(NEW_KEY("l3") RENEW("l2", "l3", "l3")));
    CHECK(curl("l2", again, POST("l3")) == 200);
    REQUIRE(shell(TAKE("l3")));
    REQUIRE(shell(NEW_KEY("l4") RENEW("l3", "l4", "l4")));
    CHECK(curl("l1", again, POST("l4")) == 403 && is_answer("answer", "HF-3213"));
    CHECK(curl("l3", again, POST("l4")) == 200);
    /* A key whose time is over does not come back, and the hardware's identity always may. */
    CHECK(curl("d1/idevid", first, POST("l1")) == 403 && is_answer("answer", "HF-3218"));
    REQUIRE(shell(NEW_KEY("l5") CSR("l5")));
    /* It asked by its certificate since: to ask is to use it, and what is active stays so. */
    CHECK(shell("python3 -c \"import sqlite3; c=sqlite3.connect('data/registry.db'); "
                "assert c.execute('select state from devices').fetchall()==[(3,)]\""));
    CHECK(curl("d1/idevid", first, POST("l5")) == 200);
    stop_all();
}

TEST("a key that another device enrolled with is refused to the next, and leaves an entry")
{
    REQUIRE(start_all(false));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    REQUIRE(curl("d1/idevid", "/.well-known/est/simpleenroll", POST("l1")) == 200);
    CHECK(curl("d2/idevid", "/.well-known/est/simpleenroll", POST("l1")) == 403
          && is_answer("answer", "HF-3217"));
    /* Another device with the serial of the first: it has another hardware key, and gets another
     * name. */
    REQUIRE(shell(NEW_KEY("l3") CSR("l3")));
    CHECK(curl("d3/idevid", "/.well-known/est/simpleenroll", POST("l3")) == 200);
    stop_all();
    CHECK(shell("python3 -c \"import sqlite3; c=sqlite3.connect('data/registry.db'); "
                "assert c.execute(\\\"select count(*) from entries where kind='enrolment-refused' "
                "and detail like "
                "'%%HF-3217%%'\\\").fetchone()[0]==1; n=[r[0] for r in c.execute('select name from "
                "devices order by row')]; "
                "assert n[0]=='d1' and n[1].startswith('d1-') and len(n)==2, n\""));
}

TEST("strangers, other manufacturers, TLS 1.2 and bad requests are told what is wrong and get "
     "nothing")
{
    static const char first[] = "/.well-known/est/simpleenroll";
    REQUIRE(start_all(false));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    CHECK(curl("", first, POST("l1")) == 403 && is_answer("answer", "HF-3201"));
    CHECK(curl("s1/idevid", first, POST("l1")) == 0);
    CHECK(!shell("curl -s --tls-max 1.2 --cacert data/pki/root.pem "
                 "https://localhost:%u/.well-known/est/cacerts",
                 service_port));
    REQUIRE(shell("openssl s_client -connect localhost:%u -tls1_2 2>&1 | grep -i 'alert number 70'",
                  service_port));

    CHECK(curl("d1/idevid", first, "-H 'Content-Type: text/plain' --data-binary @l1.csr") == 415);
    REQUIRE(shell(
        "openssl base64 -d -A <l1.csr >l1.der && cat l1.der l1.der | openssl base64 -A >two.csr && "
        "head -c 200 l1.der | openssl base64 -A >short.csr && (cat l1.csr; echo '!!') >bad.csr && "
        "openssl base64 -d -A <l1.csr | openssl base64 | sed 's/$/\\r/' >crlf.csr"));
    CHECK(curl("d1/idevid", first, POST("two")) == 400 && is_answer("answer", "octets follow"));
    CHECK(curl("d1/idevid", first, POST("short")) == 400);
    CHECK(curl("d1/idevid", first, POST("bad")) == 400 && is_answer("answer", "base64"));
    CHECK(curl("d1/idevid", first, "-H 'Content-Type: application/pkcs10' -d ''") == 400);
    REQUIRE(
        shell("openssl req -new -key d1/idevid.key -subj /CN=x -outform DER | openssl base64 -A "
              ">tls.csr && "
              "openssl req -new -newkey rsa:2048 -noenc -keyout r.key -subj /CN=x -outform DER | "
              "openssl base64 -A "
              ">rsa.csr && openssl req -new -newkey ed25519 -noenc -keyout e.key -subj /CN=x "
              "-outform DER | openssl "
              "base64 -A >ed.csr && openssl req -new -key l1.key -subj /CN=x -addext "
              "basicConstraints=CA:TRUE -outform "
              "DER | openssl base64 -A >ca.csr && openssl req -new -key l1.key -subj /CN=x -addext "
              "1.2.3.4=critical,DER:0500 -outform DER | openssl base64 -A >critical.csr"));
    CHECK(curl("d1/idevid", first, POST("tls")) == 403 && is_answer("answer", "HF-3211"));
    CHECK(curl("d1/idevid", first, POST("rsa")) == 400);
    CHECK(curl("d1/idevid", first, POST("ed")) == 400 && is_answer("answer", "HF-3205"));
    CHECK(curl("d1/idevid", first, POST("ca")) == 403 && is_answer("answer", "HF-3207"));
    CHECK(curl("d1/idevid", first, POST("critical")) == 400 && is_answer("answer", "HF-3208"));
    REQUIRE(shell("python3 -c \"d=bytearray(open('l1.der','rb').read()); d[-1]^=1; "
                  "open('forged.der','wb').write(d)\" && "
                  "openssl base64 -A -in forged.der >forged.csr"));
    CHECK(curl("d1/idevid", first, POST("forged")) == 400 && is_answer("answer", "HF-3206"));

    CHECK(curl("", "/.well-known/est/serverkeygen", "-d x") == 404);
    CHECK(curl("", "/.well-known/est/fullcmc", "-d x") == 404);
    CHECK(curl("", "/.well-known/est/cacerts/simpleenroll", "-d x") == 404);
    CHECK(curl("", "/.well-known/est/a/b/cacerts", "") == 404);
    CHECK(curl("", "/.well-known/est/cacerts", "-d x") == 405 && is_answer("head", "Allow: GET"));
    CHECK(curl("", first, "") == 405 && is_answer("head", "Allow: POST"));
    CHECK(curl("", "/.well-known/est/cacerts", "-H 'Early-Data: 1'") == 425);

    /* CRLF lines and a Content-Transfer-Encoding are no reason to refuse (RFC 8951 3). */
    CHECK(curl("d1/idevid", first, "-H 'Content-Transfer-Encoding: base64' " POST("crlf")) == 200);
    stop_all();
}

TEST("challengePassword is held against the connection's own tls-exporter")
{
    static const char first[] = "/.well-known/est/simpleenroll";
    static const char config[] =
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN=x\n"
        "[at]\nchallengePassword=%s\n";
    char text[300];
    REQUIRE(start_all(true));
    CHECK(curl("", "/.well-known/est/csrattrs", "") == 200);
    CHECK(shell("openssl base64 -d -A <answer | openssl asn1parse -inform DER")
          && shell_said("challengePassword"));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    CHECK(curl("d1/idevid", first, POST("l1")) == 403 && is_answer("answer", "HF-3209"));
    /* A 44-character value of another connection, and a 64-character Finished value. */
    static const char *const wrong[] = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        (void)snprintf(text, sizeof text, config, wrong[i]);
        REQUIRE(shell_write("c.cnf", slice_text(text)));
        REQUIRE(shell(
            "openssl req -new -config c.cnf -key l1.key -outform DER | openssl base64 -A >l1.csr"));
        CHECK(curl("d1/idevid", first, POST("l1")) == 403 && is_answer("answer", "HF-3210"));
    }
    /* The openssl command line can link: it prints the exporter, and the request is made before it
     * is sent. */
    REQUIRE(shell_write(
        "link.sh",
        slice_text(
            "mkfifo in\n"
            "openssl s_client -connect localhost:$1 -CAfile data/pki/root.pem -cert d1/idevid.pem "
            "-key d1/idevid.key "
            "-keymatexport EXPORTER-Channel-Binding -keymatexportlen 32 -ign_eof <in >said "
            "2>said.err &\n"
            "exec 3>in\n"
            "until grep -q 'Keying material: ' said; do kill -0 $! || exit 1; done\n"
            "link=$(sed -n 's/.*Keying material: //p' said | xxd -r -p | openssl base64 -A)\n"
            "printf "
            "'[req]\\nprompt=no\\ndistinguished_name=dn\\nattributes=at\\n[dn]\\nCN=x\\n[at]"
            "\\nchallengePassword=%s\\n' "
            "\"$link\" >link.cnf\n"
            "openssl req -new -config link.cnf -key l1.key -outform DER | openssl base64 -A "
            ">link.csr\n"
            "printf 'POST /.well-known/est/simpleenroll HTTP/1.1\\r\\nHost: "
            "localhost\\r\\nContent-Type: application/pkcs10\\r\\n"
            "Content-Length: %s\\r\\nConnection: close\\r\\n\\r\\n' $(stat -c %s link.csr) >&3\n"
            "cat link.csr >&3\n"
            "wait $!\n")));
    CHECK(shell("sh link.sh %u", service_port));
    CHECK(is_answer("said", "HTTP/1.1 200"));
    stop_all();
}

TEST("without its keeper the service says when to come again, and goes on when the keeper is back")
{
    static const char first[] = "/.well-known/est/simpleenroll";
    REQUIRE(start_all(false));
    REQUIRE(shell(NEW_KEY("l1") CSR("l1")));
    stop(&keeper_pid, SIGKILL);
    int status = 0;
    for (int i = 0; i < 100 && status != 503; i++) { /* until the loss is noticed */
        status = curl("d1/idevid", first, POST("l1"));
    }
    CHECK(status == 503 && is_answer("head", "Retry-After: 1"));
    start_keeper();
    time_t deadline = time(NULL) + 20;
    while (status != 200 && time(NULL) < deadline) {
        status = curl("d1/idevid", first, POST("l1"));
    }
    CHECK(status == 200);
    stop_all();
}

TEST("the trust list verifies under the root, keeps its number over a restart, and names issuer "
     "and ingest key")
{
    static uint8_t bytes[TRUST_LIST_MAX];
    static uint8_t root_der[4096];
    struct x509 root;
    struct trust_list list;
    struct fault fault = {0};
    REQUIRE(start_all(false));
    CHECK(curl("", "/trust", "") == 200);
    REQUIRE(
        shell("cp answer first && openssl x509 -in data/pki/root.pem -outform DER -out root.der"));
    REQUIRE(x509_parse(shell_read("root.der", root_der, sizeof root_der), &root, NULL) == X509_OK);
    struct chain_anchors anchors = {.list = &root, .count = 1};
    struct slice whole = shell_read("answer", bytes, sizeof bytes);
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    REQUIRE(trust_list_verify(whole, &anchors, false, now_ms, &list, &fault) == TRUST_LIST_OK);
    CHECK(list.number == 1 && list.ingest_keys_count == 1 && list.issuers_count == 1);
    for (size_t at = 0; at < whole.len; at++) {
        bytes[at] ^= 0x10;
        CHECK(trust_list_verify(whole, &anchors, false, now_ms, &list, &fault) != TRUST_LIST_OK);
        bytes[at] ^= 0x10;
    }
    stop(&service_pid, SIGTERM);
    REQUIRE(start_service(false, 86400000));
    CHECK(curl("", "/trust", "") == 200);
    CHECK(shell("cmp answer first"));
    stop_all();
}

TEST("the keeper does not start with a key that others may read")
{
    int status = 0;
    REQUIRE(make_world());
    REQUIRE(shell("chmod 0640 data/keeper/issuer.key"));
    start_keeper();
    CHECK(waitpid(keeper_pid, &status, 0) == keeper_pid && WIFEXITED(status)
          && WEXITSTATUS(status) == 9);
    keeper_pid = 0;
}
