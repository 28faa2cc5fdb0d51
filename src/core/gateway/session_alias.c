/* Topic aliases, both ways (3.3.2.3.4): each connection begins without any. */
#include "base/invariant.h"
#include "core/gateway/session_inside.h"

#include <assert.h>
#include <string.h>

static_assert(GW_ALIASES_MAX == 16, "a set of aliases is an uint16_t");

static bool has(uint16_t set, uint16_t alias)
{
    return ((unsigned)set >> (alias - 1u) & 1u) != 0;
}

static void keep(struct gw_alias *a, uint16_t *set, uint16_t alias, struct slice topic)
{
    a->len = (uint16_t)topic.len;
    memcpy(a->topic, topic.at, topic.len);
    *set = (uint16_t)(*set | 1u << (alias - 1u));
}

struct slice gw_alias_topic(const struct gw_session *s, const struct mqtt_publish *p)
{
    uint16_t alias = p->properties.topic_alias;
    bool is_known = p->topic.len == 0 && s->aliases != NULL && alias >= 1 && alias <= GW_ALIASES_MAX
                    && has(s->aliases_in, alias);
    return is_known ? slice_of(s->aliases->in[alias - 1].topic, s->aliases->in[alias - 1].len)
                    : p->topic;
}

bool gw_alias_in(struct gw_session *s,
                 const struct mqtt_publish *p,
                 struct slice *topic,
                 struct gw_effects *out)
{
    uint16_t alias = p->properties.topic_alias;
    if (!mqtt_has(&p->properties, MQTT_TOPIC_ALIAS)) {
        return true;
    }
    if (s->aliases == NULL || alias == 0 || alias > GW_ALIASES_MAX) {
        gw_refuse(s, out, MQTT_TOPIC_ALIAS_INVALID, "a topic alias above the maximum (3.3.2.3.4)");
        return false;
    }
    if (topic->len > GW_TOPIC_MAX) {
        return true; /* refused as a message: the number stands for what it stood for */
    }
    if (topic->len > 0) {
        keep(&s->aliases->in[alias - 1], &s->aliases_in, alias, *topic);
        return true;
    }
    *topic = gw_alias_topic(s, p);
    if (topic->len == 0) {
        gw_refuse(s, out, MQTT_PROTOCOL_ERROR,
                  "no topic, and an alias that stands for none (3.3.2.3.4)");
        return false;
    }
    return true;
}

/* Each topic has its one number: where two meet, the newer one takes it. */
static uint16_t number_of(struct slice topic, uint16_t max)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < topic.len; i++) {
        hash = (hash ^ topic.at[i]) * 16777619u;
    }
    return (uint16_t)(hash % max + 1);
}

uint16_t gw_alias_out(const struct gw_session *s, struct slice topic, bool *is_known)
{
    uint16_t max = s->peer_alias_max < GW_ALIASES_MAX ? s->peer_alias_max : GW_ALIASES_MAX;
    *is_known = false;
    if (s->aliases == NULL || max == 0 || topic.len > GW_TOPIC_MAX) {
        return 0;
    }
    uint16_t alias = number_of(topic, max);
    const struct gw_alias *a = &s->aliases->out[alias - 1];
    *is_known = has(s->aliases_out, alias) && slice_equal(topic, slice_of(a->topic, a->len));
    return alias;
}

void gw_alias_told(struct gw_session *s, struct slice topic, uint16_t alias)
{
    INVARIANT(s->aliases != NULL && alias >= 1 && alias <= GW_ALIASES_MAX);
    INVARIANT(topic.len <= GW_TOPIC_MAX);
    keep(&s->aliases->out[alias - 1], &s->aliases_out, alias, topic);
}
