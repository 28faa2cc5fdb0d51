#include "core/control/access.h"
#include "test/test.h"

#include <string.h>

static struct slice written(enum access_kind kind, uint8_t fill, char room[ACCESS_TEXT_MAX])
{
    uint8_t random[ACCESS_SECRET_LEN];
    memset(random, fill, sizeof random);
    struct writer w = writer_over(room, ACCESS_TEXT_MAX);
    access_write(&w, kind, random);
    return writer_slice(&w);
}

TEST("a credential is written in one form, and only what has that form has a digest")
{
    char a[ACCESS_TEXT_MAX];
    char b[ACCESS_TEXT_MAX];
    struct digest one;
    struct digest two;
    struct slice token = written(ACCESS_TOKEN, 0xA5, a);
    CHECK_U64(token.len, 56);
    CHECK(slice_has_prefix(token, slice_text("hft_")));
    CHECK(access_digest(ACCESS_TOKEN, token, &one));
    CHECK(!access_digest(ACCESS_SESSION, token, &two));
    CHECK(!access_digest(ACCESS_LINK, token, &two));
    CHECK(!access_digest(ACCESS_TOKEN, slice_of(token.at, token.len - 1), &two));
    a[10] = '-';
    CHECK(!access_digest(ACCESS_TOKEN, token, &two));
    struct slice session = written(ACCESS_SESSION, 0xA5, b);
    CHECK(access_digest(ACCESS_SESSION, session, &two));
    CHECK(memcmp(&one, &two, sizeof one) != 0);
    CHECK(!access_digest(ACCESS_TOKEN, (struct slice){0}, &two));
}

TEST("a login link may be typed in either case, without hyphens, and with letters for digits")
{
    char room[ACCESS_TEXT_MAX];
    struct digest one;
    struct digest two;
    CHECK(slice_is_text(written(ACCESS_LINK, 0x00, room), "0000-0000-0000-0000"));
    CHECK(access_digest(ACCESS_LINK, slice_text("0000-0000-0000-0000"), &one));
    CHECK(access_digest(ACCESS_LINK, slice_text("oOoO00000000oooo"), &two));
    CHECK(memcmp(&one, &two, sizeof one) == 0);
    CHECK(!access_digest(ACCESS_LINK, slice_text("0000-0000-0000-000"), &two));
    CHECK(!access_digest(ACCESS_LINK, slice_text("0000-0000-0000-000U"), &two));
    CHECK(!access_digest(ACCESS_LINK, slice_text("0000-0000-0000-00000"), &two));
}

static struct access_request browser(void)
{
    return (struct access_request){
        .has_credential = true,
        .is_known = true,
        .is_cookie = true,
        .changes = true,
        .has_mark = true,
        .origin = slice_text("http://localhost:8080"),
        .own_origin = slice_text("http://localhost:8080"),
        .rights = ACCESS_READ | ACCESS_OPERATE,
        .needs = ACCESS_OPERATE,
    };
}

TEST("a cookie changes nothing without our origin and the mark that no form can send")
{
    struct access_request r = browser();
    CHECK(access_decide(&r) == ACCESS_ALLOWED);
    r.has_mark = false;
    CHECK(access_decide(&r) == ACCESS_BAD_ORIGIN);
    r = browser();
    r.origin = (struct slice){0};
    CHECK(access_decide(&r) == ACCESS_BAD_ORIGIN);
    static const char *const foreign[] = {"http://localhost:8081", "https://localhost:8080",
                                          "http://localhost:80800", "http://evil.example", "null"};
    for (size_t i = 0; i < COUNT_OF(foreign); i++) {
        r = browser();
        r.origin = slice_text(foreign[i]);
        CHECK(access_decide(&r) == ACCESS_BAD_ORIGIN);
        r.changes = false;
        CHECK(access_decide(&r) == ACCESS_BAD_ORIGIN);
    }
    r = browser();
    r.fetch_site = slice_text("cross-site");
    CHECK(access_decide(&r) == ACCESS_BAD_ORIGIN);
    r = browser();
    r.changes = false;
    r.origin = (struct slice){0};
    r.has_mark = false;
    CHECK(access_decide(&r) == ACCESS_ALLOWED);
}

TEST("a bearer token needs no origin, for no browser sends it by itself")
{
    struct access_request r = browser();
    r.is_cookie = false;
    r.has_mark = false;
    r.origin = slice_text("http://evil.example");
    CHECK(access_decide(&r) == ACCESS_ALLOWED);
}

TEST("nobody, somebody unknown and somebody without the right are told apart")
{
    struct access_request r = browser();
    r.needs = ACCESS_OPERATE | ACCESS_ADMIN;
    CHECK(access_decide(&r) == ACCESS_NO_RIGHT);
    r.is_known = false;
    CHECK(access_decide(&r) == ACCESS_UNKNOWN_CREDENTIAL);
    r.has_credential = false;
    CHECK(access_decide(&r) == ACCESS_NO_CREDENTIAL);
}

TEST("a session is over when it was ended, unused for too long, or too old however much used")
{
    struct access_session s = {.created_ms = 1000, .used_ms = 1000};
    CHECK(!access_session_is_over(&s, 1000 + ACCESS_SESSION_IDLE_MS - 1));
    CHECK(access_session_is_over(&s, 1000 + ACCESS_SESSION_IDLE_MS));
    s.used_ms = 1000 + ACCESS_SESSION_LIFE_MS - 1;
    CHECK(!access_session_is_over(&s, 1000 + ACCESS_SESSION_LIFE_MS - 1));
    CHECK(access_session_is_over(&s, 1000 + ACCESS_SESSION_LIFE_MS));
    s = (struct access_session){.created_ms = 1000, .used_ms = 1000, .is_ended = true};
    CHECK(access_session_is_over(&s, 1001));
}

TEST("what no generator writes is no credential: too long, foreign letters, another prefix")
{
    char room[ACCESS_TEXT_MAX];
    uint8_t longer[ACCESS_TEXT_MAX + 1];
    struct digest one;
    struct digest two;
    memset(longer, '0', sizeof longer);
    CHECK(!access_digest(ACCESS_LINK, slice_of(longer, sizeof longer), &one));
    CHECK(!access_digest(ACCESS_TOKEN, slice_text("hfs_"), &one));
    struct slice token = written(ACCESS_TOKEN, 0x5A, room);
    for (size_t i = 0; i < 3; i++) {
        room[10] = "\0{~"[i];
        CHECK(!access_digest(ACCESS_TOKEN, token, &one));
    }
    /* Letters that are taken for digits when somebody types them. */
    CHECK(access_digest(ACCESS_LINK, slice_text("1111-0000-0000-0000"), &one));
    CHECK(access_digest(ACCESS_LINK, slice_text("iIlL-oooo-OOOO-0000"), &two));
    CHECK(memcmp(&one, &two, sizeof one) == 0);
}

TEST("rights and verdicts have names, each its own, and a browser's own page may say so")
{
    static const enum access_right rights[] = {ACCESS_READ, ACCESS_OPERATE, ACCESS_ADMIN};
    static const char *const right_names[] = {"read", "operate", "admin"};
    static const enum access_verdict verdicts[] = {ACCESS_ALLOWED, ACCESS_NO_CREDENTIAL,
                                                   ACCESS_UNKNOWN_CREDENTIAL, ACCESS_BAD_ORIGIN,
                                                   ACCESS_NO_RIGHT};
    static const char *const verdict_names[] = {"allowed", "no-credential", "unknown-credential",
                                                "bad-origin", "no-right"};
    for (size_t i = 0; i < COUNT_OF(rights); i++) {
        CHECK(strcmp(access_right_name(rights[i]), right_names[i]) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        CHECK(strcmp(access_verdict_name(verdicts[i]), verdict_names[i]) == 0);
    }
    struct access_request r = browser();
    r.fetch_site = slice_text("same-origin");
    CHECK(access_decide(&r) == ACCESS_ALLOWED);
}
