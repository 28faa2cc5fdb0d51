#include "sim/captured.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

struct heard {
    struct message_topic topic;
    uint8_t topic_bytes[MESSAGE_TOPIC_MAX];
    size_t topic_len;
    uint8_t *payload;
    size_t len;
};

static struct {
    struct heard ring[CAPTURED_MAX];
    uint32_t first, count;
} captured;

void captured_add(const struct message_topic *topic, struct slice payload)
{
    bool is_full = captured.count == CAPTURED_MAX;
    struct heard *to = &captured.ring[(captured.first + captured.count) % CAPTURED_MAX];
    if (is_full) {
        to = &captured.ring[captured.first];
        captured.first = (captured.first + 1) % CAPTURED_MAX;
    } else {
        captured.count++;
    }
    free(to->payload);
    *to = (struct heard){.topic = *topic, .payload = malloc(payload.len + 1), .len = payload.len};
    INVARIANT(to->payload != NULL);
    memcpy(to->payload, payload.at, payload.len);
    struct writer w = writer_over(to->topic_bytes, sizeof to->topic_bytes);
    message_topic_write(&w, topic);
    to->topic_len = w.len;
    to->topic.stream = (struct slice){0};
}

void captured_forget(void)
{
    for (uint32_t i = 0; i < CAPTURED_MAX; i++) {
        free(captured.ring[i].payload);
    }
    memset(&captured, 0, sizeof captured);
}

uint32_t captured_count(void)
{
    return captured.count;
}

bool captured_get(uint32_t index, struct captured *out)
{
    if (index >= captured.count) {
        return false;
    }
    const struct heard *heard = &captured.ring[(captured.first + index) % CAPTURED_MAX];
    *out = (struct captured){.device = heard->topic.device,
                             .kind = heard->topic.kind,
                             .topic = slice_of(heard->topic_bytes, heard->topic_len),
                             .payload = slice_of(heard->payload, heard->len)};
    return true;
}
