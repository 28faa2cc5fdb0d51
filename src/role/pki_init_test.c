#include "io/port.h"
#include "role/pki_files.h"
#include "role/pki_init.h"
#include "role/pki_renew.h"
#include "test/shell.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static void ignore_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static const char *in_scratch(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];
    (void)snprintf(path, sizeof paths[0], "%s/%s", test_scratch_dir(), name);
    return path;
}

TEST("a manufacturer and its IDevIDs satisfy openssl and RFC 4108, and are never made twice")
{
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct device_id id;
    struct device_id again;
    REQUIRE(pki_make_manufacturer(port, in_scratch("factory"), "Hydra Machines", &why) == PKI_OK);
    REQUIRE(pki_make_idevid(port, in_scratch("factory"), "press-001", "P4-A", in_scratch("d1"), &id,
                            &why)
            == PKI_OK);
    CHECK(shell("openssl verify -x509_strict -CAfile factory/manufacturer.pem d1/idevid.pem"));
    REQUIRE(shell("openssl x509 -in d1/idevid.pem -noout -subject -enddate -text"));
    CHECK(shell_said("O = Hydra Machines, OU = P4-A, serialNumber = press-001"));
    CHECK(shell_said("Dec 31 23:59:59 9999 GMT"));
    CHECK(shell_said("CA:FALSE"));
    CHECK(!shell_said("Extended Key Usage"));
    CHECK(shell("test $(stat -c %%a d1/idevid.key) = 600 && test $(stat -c %%a "
                "factory/manufacturer.key) = 600"));
    CHECK(shell(
        "(printf 'holdfast device 1\\000'; openssl pkey -in d1/idevid.key -pubout -outform DER) | "
        "sha256sum | cut -c1-32 >id"));
    uint8_t text[64];
    uint8_t want[64];
    struct writer w = writer_over(want, sizeof want);
    write_hex(&w, slice_of(id.bytes, sizeof id.bytes));
    write_text(&w, "\n");
    CHECK(slice_equal(shell_read("id", text, sizeof text), writer_slice(&w)));

    CHECK(pki_make_manufacturer(port, in_scratch("factory"), "Other", &why) == PKI_EXISTS);
    CHECK(pki_make_idevid(port, in_scratch("factory"), "press-001", "P4-A", in_scratch("d1"),
                          &again, &why)
          == PKI_EXISTS);
    CHECK(strstr(why.text, "idevid.pem") != NULL);
    CHECK(pki_make_idevid(port, in_scratch("factory"), "pre\nss", "P4-A", in_scratch("d2"), &again,
                          &why)
          == PKI_BAD);
    CHECK(pki_make_idevid(port, in_scratch("factory"), "", "P4-A", in_scratch("d2"), &again, &why)
          == PKI_BAD);
    CHECK(pki_make_idevid(port, in_scratch("nothing"), "x", "P4-A", in_scratch("d2"), &again, &why)
          == PKI_BAD);
    port_close_all(port);
}

static const char *const hosts[] = {"gw.example", "192.0.2.7"};

static struct pki_site site(void)
{
    return (struct pki_site){.data = in_scratch("data"),
                             .name = "Northsea Pressings",
                             .domain = "holdfast.local",
                             .hosts = hosts,
                             .hosts_count = COUNT_OF(hosts)};
}

TEST("a site is made whole, verifies under its root by openssl, and is left alone afterwards")
{
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct pki_site northsea = site();
    REQUIRE(pki_make_site(port, &northsea, &why) == PKI_OK);
    CHECK(shell("cd data/pki && for c in issuer services trust ingest; do openssl verify "
                "-x509_strict -CAfile root.pem $c.pem "
                "|| exit 1; done"));
    CHECK(shell("cd data/pki && for c in gateway devices; do openssl verify -x509_strict -CAfile "
                "root.pem -untrusted $c.pem "
                "-purpose sslserver -verify_hostname gw.example $c.pem || exit 1; done"));
    CHECK(
        shell("cd data/pki && openssl verify -CAfile root.pem -untrusted gateway.pem -verify_ip "
              "192.0.2.7 gateway.pem && "
              "openssl verify -CAfile root.pem -untrusted gateway.pem -verify_ip ::1 gateway.pem"));
    CHECK(!shell("cd data/pki && openssl verify -CAfile issuer.pem -partial_chain -untrusted "
                 "gateway.pem gateway.pem"));
    CHECK(shell(
        "cd data/pki && for k in gateway/gateway control/devices ingest/ingest offline/root; do "
        "test \"$(openssl pkey -in ../keys/$k.key -pubout)\" = "
        "\"$(openssl x509 -in ${k#*/}.pem -noout -pubkey)\" || exit 1; done"));
    CHECK(shell("cd data && for k in issuer services trust; do test \"$(openssl pkey -in "
                "keeper/$k.key -pubout)\" = "
                "\"$(openssl x509 -in pki/$k.pem -noout -pubkey)\" || exit 1; done"));
    CHECK(
        shell("cd data && test $(ls keeper | wc -l) = 6 && test $(stat -c %%a keeper) = 700 && "
              "test \"$(stat -c %%a keeper/* keys/*/* | sort -u)\" = 600 && test -d "
              "pki/manufacturers && "
              "! ls pki/*.key && test ! -e pki.new && test ! -e keeper.new && test ! -e keys.new"));
    REQUIRE(shell("sha256sum data/pki/root.pem data/keeper/issuer.key >before"));
    CHECK(pki_make_site(port, &northsea, &why) == PKI_EXISTS);
    CHECK(shell("sha256sum -c before"));
    port_close_all(port);
}

TEST(
    "a server certificate in the last third of its life is made anew with its key, names and chain")
{
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct pki_site northsea = site();
    struct pki_entity services;
    struct pki_renewal found;
    const uint64_t day_ms = UINT64_C(86400000);
    northsea.service_lifetime_ms = 30 * day_ms; /* it began a day ago */
    REQUIRE(pki_make_site(port, &northsea, &why) == PKI_OK);
    REQUIRE(
        shell("cp data/pki/services.pem data/keeper/ && sha256sum data/pki/gateway.pem >before"));
    REQUIRE(pki_read_entity(port, in_scratch("data/keeper"), "services", &services, &why)
            == PKI_OK);
    REQUIRE(pki_renew_server(port, in_scratch("data"), "gateway", &services, &found, &why)
            == PKI_OK);
    CHECK(!found.is_due && !found.is_renewed && shell("sha256sum -c before"));
    /* the same under the services key, ending in nine days */
    REQUIRE(shell("cd data/pki && openssl x509 -in gateway.pem -x509toreq -copy_extensions copyall "
                  "-signkey ../keys/gateway/gateway.key -out g.csr && openssl x509 -req -in g.csr "
                  "-CA services.pem "
                  "-CAkey ../keeper/services.key -copy_extensions copyall -days 9 -out g.pem && "
                  "cat g.pem services.pem >gateway.pem && rm g.csr g.pem"));
    struct pki_renewal before;
    REQUIRE(pki_renew_server(port, in_scratch("data"), "gateway", NULL, &before, &why) == PKI_OK);
    CHECK(!before.is_due && !before.is_renewed); /* nine days of nine are left */
    REQUIRE(
        shell("cd data/pki && openssl x509 -in gateway.pem -x509toreq -copy_extensions copyall "
              "-signkey ../keys/gateway/gateway.key -out g.csr && printf "
              "'[c]\ndatabase=i\nnew_certs_dir=.\n"
              "rand_serial=yes\ndefault_md=sha256\npolicy=p\ncopy_extensions=copyall\n"
              "unique_subject=no\n[p]\ncommonName=supplied\norganizationName=optional\n' >ca "
              "&& : >i && openssl ca -config ca -name c -batch -notext -in g.csr -cert "
              "services.pem -keyfile ../keeper/services.key -startdate 20200101000000Z -enddate "
              "$(date -u -d '+9 days' +%%Y%%m%%d%%H%%M%%SZ) -out g.pem && "
              "cat g.pem services.pem >gateway.pem"));
    REQUIRE(pki_renew_server(port, in_scratch("data"), "gateway", NULL, &before, &why) == PKI_OK);
    CHECK(before.is_due && !before.is_renewed);
    REQUIRE(pki_renew_server(port, in_scratch("data"), "gateway", &services, &found, &why)
            == PKI_OK);
    CHECK(found.is_renewed && found.not_after_ms > before.not_after_ms + (int64_t)(380 * day_ms));
    CHECK(
        shell("cd data/pki && openssl verify -x509_strict -CAfile root.pem -untrusted gateway.pem "
              "-purpose sslserver -verify_hostname gw.example gateway.pem && openssl verify "
              "-CAfile root.pem -untrusted gateway.pem -verify_ip 192.0.2.7 gateway.pem && test "
              "\"$(openssl pkey -in ../keys/gateway/gateway.key -pubout)\" = \"$(openssl x509 -in "
              "gateway.pem "
              "-noout -pubkey)\""));
    REQUIRE(pki_renew_server(port, in_scratch("data"), "gateway", &services, &found, &why)
            == PKI_OK);
    CHECK(!found.is_due && !found.is_renewed); /* once is enough */
    pki_entity_forget(&services);
    port_close_all(port);
}

TEST("a making that was cut goes on, and keys without their certificates are never replaced")
{
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct pki_site northsea = site();
    REQUIRE(shell("mkdir -p data/keys.new/offline data/keeper.new && echo half "
                  ">data/keys.new/offline/root.key"));
    REQUIRE(pki_make_site(port, &northsea, &why) == PKI_OK);
    CHECK(shell("openssl pkey -in data/keys/offline/root.key -noout"));
    static const char *const cuts[] = {
        "mv data/pki data/pki.new",
        "mv data/pki data/pki.new && mv data/keeper data/keeper.new",
    };
    REQUIRE(shell("cp data/keeper/issuer.key data/keys/ingest/ingest.key ."));
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        REQUIRE(shell("%s", cuts[i]));
        REQUIRE(pki_make_site(port, &northsea, &why) == PKI_OK);
        CHECK(shell("cmp issuer.key data/keeper/issuer.key && test -e data/pki/root.pem"
                    " && cmp ingest.key data/keys/ingest/ingest.key"));
    }
    REQUIRE(shell("mv data/pki data/elsewhere"));
    CHECK(pki_make_site(port, &northsea, &why) == PKI_BAD);
    CHECK(shell("cmp issuer.key data/keeper/issuer.key"));
    port_close_all(port);
}

TEST("a host that is no name is refused before anything is moved into place")
{
    static const char *const bad[] = {"a b"};
    struct port *port = port_open(ignore_event, NULL);
    struct port_why why = {0};
    struct pki_site northsea = site();
    northsea.hosts = bad;
    northsea.hosts_count = 1;
    CHECK(pki_make_site(port, &northsea, &why) == PKI_BAD);
    CHECK(shell("test ! -e data/pki && test ! -e data/keeper"));
    port_close_all(port);
}

TEST("a stock client's key and request belong together")
{
    uint8_t key[1024];
    uint8_t csr[2048];
    struct writer key_pem = writer_over(key, sizeof key);
    struct writer csr_pem = writer_over(csr, sizeof csr);
    REQUIRE(pki_make_client_key("flow-meter 7", (struct slice){0}, &key_pem, &csr_pem) == PKI_OK);
    REQUIRE(shell_write("k.pem", writer_slice(&key_pem))
            && shell_write("c.pem", writer_slice(&csr_pem)));
    CHECK(shell("openssl req -in c.pem -noout -verify -subject && "
                "test \"$(openssl pkey -in k.pem -pubout)\" = \"$(openssl req -in c.pem -noout "
                "-pubkey)\""));
    CHECK(shell_said("flow-meter 7"));
    CHECK(pki_make_client_key("", (struct slice){0}, &key_pem, &csr_pem) == PKI_BAD);
    uint8_t again[1024];
    struct writer again_pem = writer_over(again, sizeof again);
    writer_reset(&csr_pem);
    CHECK(pki_make_client_key("other", writer_slice(&key_pem), &again_pem, &csr_pem) == PKI_OK);
    CHECK(slice_equal(writer_slice(&again_pem), writer_slice(&key_pem)));
    CHECK(pki_make_client_key("other", slice_text("no key"), &again_pem, &csr_pem) == PKI_BAD);
}
