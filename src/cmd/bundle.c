/*
 * `holdfast device bundle`: what a stock MQTT client needs to speak to a gateway of this site. Its
 * key is made here; only the request for a certificate leaves this machine.
 */
#include "cmd/api.h"
#include "cmd/json_path.h"
#include "codec/json.h"
#include "io/port.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/pki_init.h"

#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 16384, PATH_CAP = 600 };

struct bundle {
    struct cli *cli;
    struct port *port;
    const char *name;
    const char *dir;
    const char *program;
    const char *host;
    char port_text[8];
    char id[DEVICE_ID_TEXT_LEN + 1];
};

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static bool write_part(struct bundle *b, const char *suffix, struct slice bytes)
{
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/%s%s", b->dir, b->name, suffix);
    return port_file_replace(b->port, path, bytes) == PORT_OK;
}

/* The key of an earlier attempt. */
static bool read_key(struct bundle *b, uint8_t *out, size_t cap, size_t *len)
{
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/%s.key", b->dir, b->name);
    return port_file_read_all(b->port, path, out, cap, len) == PORT_OK;
}

static void write_format(struct writer *w, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        write_text(w, parts[i]);
    }
}

/* The snippet, tried by the tests against the real program. */
static void write_snippet(struct bundle *b, struct writer *w)
{
    if (strcmp(b->program, "mosquitto") == 0) {
        const char *parts[] = {
            "# options of mosquitto_pub and mosquitto_sub; try:\n#   mosquitto_pub $(grep -v '^#' ",
            b->name,
            ".mosquitto) -t 'hf/1/",
            b->id,
            "/j/test' -q 1 -m '{\"temperature\": 21.5}'\n",
            "-h ",
            b->host,
            " -p ",
            b->port_text,
            " -V mqttv5 --cafile ",
            b->dir,
            "/root.pem --cert ",
            b->dir,
            "/",
            b->name,
            ".pem --key ",
            b->dir,
            "/",
            b->name,
            ".key -i ",
            b->name,
            "\n",
        };
        write_format(w, parts, COUNT_OF(parts));
        return;
    }
    const char *parts[] = {
        "# python3-paho-mqtt\nimport json\nimport ssl\n\nimport paho.mqtt.client as mqtt\n\n",
        "client = mqtt.Client(client_id=\"",
        b->name,
        "\", protocol=mqtt.MQTTv5)\n",
        "client.tls_set(ca_certs=\"",
        b->dir,
        "/root.pem\", certfile=\"",
        b->dir,
        "/",
        b->name,
        ".pem\",\n               keyfile=\"",
        b->dir,
        "/",
        b->name,
        ".key\", tls_version=ssl.PROTOCOL_TLS_CLIENT)\n",
        "client.connect(\"",
        b->host,
        "\", ",
        b->port_text,
        ")\nclient.loop_start()\n",
        "client.publish(\"hf/1/",
        b->id,
        "/j/test\", json.dumps({\"temperature\": 21.5}), qos=1).wait_for_publish()\n",
        "client.disconnect()\n",
    };
    write_format(w, parts, COUNT_OF(parts));
}

static int write_answer(struct bundle *b, struct slice answer)
{
    static char certificate[PEM_MAX];
    static char chain[PEM_MAX];
    static char root[PEM_MAX];
    static uint8_t room[2 * PEM_MAX];
    char suffix[40];
    struct writer w = writer_over(room, sizeof room);
    (void)json_text_at(answer, "id", "", b->id, sizeof b->id);
    (void)json_text_at(answer, "certificate", "", certificate, sizeof certificate);
    (void)json_text_at(answer, "chain", "", chain, sizeof chain);
    (void)json_text_at(answer, "root", "", root, sizeof root);
    if (b->id[0] == '\0' || certificate[0] == '\0' || root[0] == '\0') {
        return cli_error(b->cli, CLI_FAILED, "HF-1108", "the server's answer holds no certificate",
                         "it may be of another version", "compare holdfast version here and there");
    }
    write_text(&w, certificate);
    write_text(&w, chain);
    bool ok = write_part(b, ".pem", writer_slice(&w));
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/root.pem", b->dir);
    ok = ok && port_file_replace(b->port, path, slice_text(root)) == PORT_OK;
    writer_reset(&w);
    write_snippet(b, &w);
    (void)snprintf(suffix, sizeof suffix, ".%s",
                   strcmp(b->program, "paho") == 0 ? "paho.py" : b->program);
    ok = ok && write_part(b, suffix, writer_slice(&w));
    if (!ok) {
        return cli_error(b->cli, CLI_FAILED, "HF-1111", "the bundle cannot be written", b->dir,
                         "check the folder; then make it again");
    }
    if (b->cli->json) {
        (void)printf(
            "{\"v\":1,\"name\":\"%s\",\"id\":\"%s\",\"dir\":\"%s\",\"topic\":\"hf/1/%s/j/\"}\n",
            b->name, b->id, b->dir, b->id);
    } else {
        (void)printf("id           %s\ncertificate  %s/%s.pem\nkey          %s/%s.key   (made "
                     "here, sent nowhere)\n",
                     b->id, b->dir, b->name, b->dir, b->name);
        (void)printf(
            "trust        %s/root.pem\nsnippet      %s/%s%s\npublish to   hf/1/%s/j/STREAM\n",
            b->dir, b->dir, b->name, suffix, b->id);
    }
    return CLI_DONE;
}

static int ask_certificate(struct bundle *b)
{
    static uint8_t key_room[4096];
    static uint8_t csr_room[4096];
    static uint8_t json_room[8192];
    struct writer key = writer_over(key_room, sizeof key_room);
    struct writer csr = writer_over(csr_room, sizeof csr_room);
    struct writer body = writer_over(json_room, sizeof json_room);
    struct slice answer = {0};
    int exit = 0;
    uint8_t own[4096];
    size_t own_len = 0;
    if (!read_key(b, own, sizeof own, &own_len)) {
        own_len = 0;
    }
    enum pki_result made = pki_make_client_key(b->name, slice_of(own, own_len), &key, &csr);
    wipe(own, sizeof own);
    if (made != PKI_OK) {
        return cli_error(b->cli, CLI_USAGE, "HF-1101", "no key can be made or used for that name",
                         "names are letters, digits, - . and _; a key that is in the folder must "
                         "be one of P-256",
                         "use such a name, or remove that key; nothing was made");
    }
    /* Before anybody hears of it: an answer that is lost is asked for again with the same key. */
    if (own_len == 0 && !write_part(b, ".key", writer_slice(&key))) {
        return cli_error(b->cli, CLI_FAILED, "HF-1111", "the bundle cannot be written", b->dir,
                         "check the folder; then make it again");
    }
    struct json_writer json = json_writer_to(&body);
    json_object(&json);
    json_put_text(&json, "name", b->name);
    json_put_slice(&json, "csr", writer_slice(&csr));
    json_object_end(&json);
    struct api *api = api_open(b->cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = api_post(api, "/bundles", writer_slice(&body), &answer);
    if (exit == CLI_DONE) {
        exit = write_answer(b, answer);
    }
    api_close(api);
    wipe(key_room, sizeof key_room);
    return exit;
}

int cmd_device_bundle(struct cli *cli)
{
    static char host[256];
    const char *program = cli_option_or(cli, "for", "mosquitto");
    const char *gateway = cli_option_or(
        cli, "gateway",
        getenv("HOLDFAST_GATEWAY") != NULL ? getenv("HOLDFAST_GATEWAY") : "localhost:8883");
    const char *colon = strrchr(gateway, ':');
    struct bundle b = {.cli = cli,
                       .name = cli->args[0],
                       .dir = cli_option_or(cli, "out", cli->args[0]),
                       .program = program,
                       .host = host};
    if (strcmp(program, "mosquitto") != 0 && strcmp(program, "paho") != 0) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "there is no snippet for that program",
                         "0.1.0 knows mosquitto and paho",
                         "any MQTT client can use the same files: take one of the two");
    }
    if (colon == NULL || strlen(colon) > 6 || strlen(gateway) >= sizeof host) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "--gateway is not HOST:PORT", gateway,
                         "for example --gateway localhost:8883");
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - gateway), gateway);
    (void)snprintf(b.port_text, sizeof b.port_text, "%s", colon + 1);
    b.port = port_open(ignore, NULL);
    if (b.port == NULL || port_dir_make(b.port, b.dir) != PORT_OK) {
        return cli_error(cli, CLI_FAILED, "HF-1111", "the folder cannot be made", b.dir,
                         "name another with --out; nothing was made");
    }
    int exit = ask_certificate(&b);
    port_close_all(b.port);
    return exit;
}
