#include "io/posix/tls_pair.h"
#include "io/read_all.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * root: a CA for servers.  devices: an issuing CA under root, the anchor of devices.  maker:
 * another root. Leaves: server (localhost, 127.0.0.1), device (by devices), ancient (by maker, over
 * since 2011), alien (by maker).
 */
static const char make_certificates[] =
    "set -e; cd '%s'; WANT=%s; test ! -e ancient.pem || exit 0; {\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
    "root() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 30 -out $1.pem"
    " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign; }\n"
    "signed() { key $1; printf '%%b' \"$3\" >$1.ext; openssl req -new -key $1.key -subj /CN=$1 |"
    " openssl x509 -req -CA $2.pem -CAkey $2.key -CAcreateserial -extfile $1.ext $4 -out $1.pem; "
    "}\n"
    "root root; root maker\n"
    "signed devices root 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign' "
    "'-days 30'\n"
    "signed server root 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth' "
    "'-days 30'\n"
    "signed device devices 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "signed alien maker 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "case $WANT in vendor|edwards)\n"
    "  key() { openssl genpkey -algorithm $KIND -out $1.key; }\n"
    "  KIND=ED25519; test $WANT = edwards || KIND='RSA -pkeyopt rsa_keygen_bits:2048'\n"
    "  signed $WANT maker 'extendedKeyUsage=clientAuth' '-days 30'\n"
    "esac\n"
    "openssl ecparam -name prime256v1 -genkey -noout -out ancient.key\n"
    "printf extendedKeyUsage=clientAuth >ancient.ext\n"
    "openssl req -new -key ancient.key -subj /CN=ancient -out ancient.csr\n"
    "touch index.txt; echo 01 >serial\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=.\\n"
    "default_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca.cnf\n"
    "openssl ca -batch -config ca.cnf -cert maker.pem -keyfile maker.key -extfile ancient.ext "
    "-notext"
    " -startdate 20100101000000Z -enddate 20110101000000Z -in ancient.csr -out ancient.pem\n"
    "} >made.log 2>&1";

struct slice tls_pair_file(struct pair *p, struct tls_text *to, const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", test_scratch_dir(), name);
    if (port_file_read_all(p->port, path, to->bytes, sizeof to->bytes, &to->len) != PORT_OK) {
        test_failed(__FILE__, __LINE__, "cannot read %s", path);
        to->len = 0;
    }
    return slice_of(to->bytes, to->len);
}

static void read_own(struct pair *p,
                     struct port_tls_config *config,
                     const char *leaf,
                     struct tls_text own[2])
{
    char name[64];
    if (leaf != NULL) {
        (void)snprintf(name, sizeof name, "%s.pem", leaf);
        config->certificate_pem = tls_pair_file(p, &own[0], name);
        (void)snprintf(name, sizeof name, "%s.key", leaf);
        config->key_pem = tls_pair_file(p, &own[1], name);
    }
}

enum port_result tls_pair_server(struct pair *p, const struct tls_setup *s)
{
    static struct tls_text own[2];
    static struct tls_text anchors[2];
    struct port_tls_config config = {.is_server = true,
                                     .require_peer = !s->optional_peer,
                                     .alpn = s->server_alpn,
                                     .time_floor_ms = s->time_floor_ms,
                                     .sessions = s->sessions};
    read_own(p, &config, s->server_leaf, own);
    for (size_t i = 0; i < 2 && s->server_anchors[i] != NULL; i++) {
        config.anchors[i].pem = tls_pair_file(p, &anchors[i], s->server_anchors[i]);
        config.anchors[i].no_time = s->no_time[i];
        config.anchors_count++;
    }
    return port_tls_make(p->port, &config, &p->server_tls, &p->why);
}

enum port_result tls_pair_client(struct pair *p, const struct tls_setup *s)
{
    static struct tls_text own[2];
    static struct tls_text anchors;
    struct port_tls_config config = {.alpn = s->client_alpn, .resumes = s->resumes};
    read_own(p, &config, s->client_leaf, own);
    if (s->client_anchors != NULL) {
        config.anchors[0].pem = tls_pair_file(p, &anchors, s->client_anchors);
        config.anchors_count = 1;
    }
    p->server_name = s->server_name;
    return port_tls_make(p->port, &config, &p->client_tls, &p->why);
}

bool tls_pair_prepare(struct pair *p, const struct tls_setup *s)
{
    char command[sizeof make_certificates + 300];
    pair_open(p);
    (void)snprintf(command, sizeof command, make_certificates, test_scratch_dir(),
                   s->client_leaf != NULL ? s->client_leaf : "none");
    if (system(command) != 0) {
        test_failed(__FILE__, __LINE__, "certificates cannot be made: %s/made.log",
                    test_scratch_dir());
        return false;
    }
    if (tls_pair_server(p, s) != PORT_OK || tls_pair_client(p, s) != PORT_OK
        || pair_listen(p, "127.0.0.1:0") != PORT_OK) {
        test_failed(__FILE__, __LINE__, "%s", p->why.text);
        return false;
    }
    return true;
}
