/*
 * Eclipse Paho's C library (libpaho-mqtt3cs) doing a client's work against a server, in both
 * versions of MQTT: for tests/mqtt/clients.py. Says what went wrong and exits with 1, else with 0.
 *
 *   paho_client URI 5|4 MARK [CA CERTIFICATE KEY]
 */
#include <MQTTClient.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 15000, MESSAGES = 40, SESSION_S = 600 };

static const char *uri, *mark;
static int version;
static MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
static bool is_tls;
static char **arguments;

__attribute__((format(printf, 2, 3))) static void must(bool good, const char *words, ...)
{
    if (!good) {
        va_list args;
        va_start(args, words);
        (void)vprintf(words, args);
        (void)printf("\n");
        va_end(args);
        exit(1);
    }
}

static const char *named(const char *rest)
{
    static char names[8][128];
    static unsigned next;
    char *name = names[next++ % 8];
    (void)snprintf(name, sizeof names[0], "%s/%s", mark, rest);
    return name;
}

/* `keeps`: the session outlives its connection. Returns whether there was one. */
static bool connect_as(MQTTClient *client,
                       const char *name,
                       bool keeps,
                       MQTTClient_willOptions *will)
{
    char id[128];
    (void)snprintf(id, sizeof id, "%s%s", mark, name);
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    must(MQTTClient_createWithOptions(client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create)
             == MQTTCLIENT_SUCCESS,
         "creating %s", name);
    MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions four = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions options = version == 5 ? five : four;
    options.MQTTVersion = create.MQTTVersion;
    options.keepAliveInterval = 30;
    options.connectTimeout = WAIT_MS / 1000;
    options.will = will;
    options.ssl = is_tls ? &tls : NULL;
    if (version != 5) {
        options.cleansession = !keeps;
        must(MQTTClient_connect(*client, &options) == MQTTCLIENT_SUCCESS, "%s connects", name);
        return options.returned.sessionPresent != 0;
    }
    options.cleanstart = !keeps;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value = {.integer4 = keeps ? SESSION_S : 0}};
    MQTTProperty top = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, .value = {.integer2 = 5}};
    must(MQTTProperties_add(&properties, &expiry) == 0
             && MQTTProperties_add(&properties, &top) == 0,
         "properties");
    MQTTResponse response = MQTTClient_connect5(*client, &options, &properties, NULL);
    must(response.reasonCode == MQTTREASONCODE_SUCCESS, "%s connects: %d", name,
         response.reasonCode);
    MQTTResponse_free(response);
    MQTTProperties_free(&properties);
    return options.returned.sessionPresent != 0;
}

static void subscribe(MQTTClient client, const char *filter, int qos)
{
    if (version != 5) {
        must(MQTTClient_subscribe(client, filter, qos) == MQTTCLIENT_SUCCESS, "subscribing %s",
             filter);
        return;
    }
    MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
    must((int)response.reasonCode == qos, "subscribing %s: %d", filter, response.reasonCode);
    MQTTResponse_free(response);
}

static void publish(MQTTClient client, const char *topic, const char *text, int qos, bool retained)
{
    MQTTClient_deliveryToken token = 0;
    int length = (int)strlen(text);
    if (version != 5) {
        must(MQTTClient_publish(client, topic, length, text, qos, retained, &token)
                 == MQTTCLIENT_SUCCESS,
             "publishing %s", text);
    } else {
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty user = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
        user.value.data.data = (char *)(uintptr_t) "name";
        user.value.data.len = 4;
        user.value.value.data = (char *)(uintptr_t)text;
        user.value.value.len = length;
        must(MQTTProperties_add(&properties, &user) == 0, "properties");
        MQTTResponse response =
            MQTTClient_publish5(client, topic, length, text, qos, retained, &properties, &token);
        must(response.reasonCode == MQTTREASONCODE_SUCCESS, "publishing %s: %d", text,
             response.reasonCode);
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    }
    must(qos == 0 || MQTTClient_waitForCompletion(client, token, WAIT_MS) == MQTTCLIENT_SUCCESS,
         "completing %s of QoS %d", text, qos);
}

static void expect(MQTTClient client, const char *topic, const char *text, int qos, bool retained)
{
    char *found_topic = NULL;
    int topic_len = 0;
    MQTTClient_message *m = NULL;
    int result = MQTTClient_receive(client, &found_topic, &topic_len, &m, WAIT_MS);
    must((result == MQTTCLIENT_SUCCESS || result == MQTTCLIENT_TOPICNAME_TRUNCATED) && m != NULL,
         "no message %s: %d", text, result);
    must(strcmp(found_topic, topic) == 0 && m->payloadlen == (int)strlen(text)
             && memcmp(m->payload, text, strlen(text)) == 0,
         "%.*s on %s, not %s on %s", m->payloadlen, (char *)m->payload, found_topic, text, topic);
    must(m->qos == qos && (m->retained != 0) == retained, "%s: QoS %d, retained %d", text, m->qos,
         m->retained);
    must(version != 5 || text[0] == '!'
             || MQTTProperties_hasProperty(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY),
         "%s has lost its user property", text);
    MQTTClient_freeMessage(&m);
    MQTTClient_free(found_topic);
}

static void leave(MQTTClient *client)
{
    must(MQTTClient_disconnect(*client, WAIT_MS) == MQTTCLIENT_SUCCESS, "disconnecting");
    MQTTClient_destroy(client);
}

static void play_each_qos(void)
{
    MQTTClient a;
    MQTTClient b;
    (void)connect_as(&a, "a", false, NULL);
    (void)connect_as(&b, "b", false, NULL);
    for (int qos = 0; qos < 3; qos++) {
        char rest[16];
        (void)snprintf(rest, sizeof rest, "q/%d", qos);
        subscribe(b, named(rest), qos);
        for (int i = 0; i < MESSAGES; i++) {
            char text[16];
            (void)snprintf(text, sizeof text, "%d", i);
            publish(a, named(rest), text, qos, false);
            expect(b, named(rest), text, qos, false);
        }
    }
    leave(&a);
    leave(&b);
}

/* In a process of its own, so that the connection breaks without a word. */
static void die_with_a_will(void)
{
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0) {
        (void)setenv("PAHO_CLIENT_DIES", "yes", 1);
        (void)execv("/proc/self/exe", arguments);
        _exit(1);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child && status == 0, "the client with a will: %d", status);
}

static void connect_with_a_will(void)
{
    MQTTClient c;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = named("will");
    will.message = "!gone";
    will.qos = 2;
    (void)connect_as(&c, "c", false, &will);
}

static void play_retained_and_will(void)
{
    MQTTClient a;
    MQTTClient b;
    (void)connect_as(&a, "a", false, NULL);
    publish(a, named("r"), "kept", 1, true);
    (void)connect_as(&b, "b", false, NULL);
    subscribe(b, named("r"), 2);
    expect(b, named("r"), "kept", 1, true);
    publish(a, named("r"), "", 1, true);
    expect(b, named("r"), "", 1, false);
    subscribe(b, named("will"), 2);
    die_with_a_will();
    expect(b, named("will"), "!gone", 2, false);
    leave(&a);
    leave(&b);
}

static void play_session(void)
{
    MQTTClient a;
    MQTTClient b;
    (void)connect_as(&a, "a", false, NULL);
    must(!connect_as(&b, "k", true, NULL), "a session that nobody made");
    subscribe(b, named("s"), 2);
    leave(&b);
    for (int i = 0; i < MESSAGES; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        publish(a, named("s"), text, 2, false);
    }
    /* With MQTT 5.0 the library does not say whether there was one; the messages do. */
    must(connect_as(&b, "k", true, NULL) || version == 5, "the session is gone");
    for (int i = 0; i < MESSAGES; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        expect(b, named("s"), text, 2, false);
    }
    leave(&a);
    leave(&b);
}

static void play_shared(void)
{
    MQTTClient a;
    MQTTClient b;
    (void)connect_as(&a, "a", false, NULL);
    (void)connect_as(&b, "b", false, NULL);
    char filter[160];
    (void)snprintf(filter, sizeof filter, "$share/g/%s", named("g"));
    subscribe(b, filter, 1);
    for (int i = 0; i < MESSAGES; i++) {
        publish(a, named("g"), "one", 1, false);
        expect(b, named("g"), "one", 1, false);
    }
    leave(&a);
    leave(&b);
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 7) {
        (void)fprintf(stderr, "use: paho_client URI 5|4 MARK [CA CERTIFICATE KEY]\n");
        return 2;
    }
    arguments = argv;
    uri = argv[1];
    version = atoi(argv[2]);
    mark = argv[3];
    is_tls = argc == 7;
    if (is_tls) {
        tls.trustStore = argv[4];
        tls.keyStore = argv[5];
        tls.privateKey = argv[6];
        tls.enableServerCertAuth = 1;
        tls.verify = 0;
    }
    if (getenv("PAHO_CLIENT_DIES") != NULL) {
        connect_with_a_will();
        _exit(0);
    }
    play_each_qos();
    play_retained_and_will();
    play_session();
    if (version == 5) {
        play_shared();
    }
    return 0;
}
