#include "core/gateway/refusals.h"

#include "base/time.h"

#include <string.h>

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strlen(from);
    len = len < cap ? len : cap - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

void gw_refusals_add(struct gw_refusals *r,
                     int64_t wall_ms,
                     enum gw_gate gate,
                     enum mqtt_reason reason,
                     const char *words,
                     const char *address,
                     const struct digest *certificate)
{
    struct gw_refusal *kept = &r->kept[r->total % GW_REFUSALS_KEPT];
    *kept = (struct gw_refusal){.wall_ms = wall_ms, .gate = gate, .reason = reason};
    copy_text(kept->words, sizeof kept->words, words);
    copy_text(kept->address, sizeof kept->address, address);
    if (certificate != NULL) {
        kept->has_fingerprint = true;
        kept->fingerprint = *certificate;
    }
    r->total++;
    r->by_gate[gate]++;
    if (gate == GW_GATE_MQTT) {
        r->by_reason[(uint8_t)reason]++;
    }
}

void gw_refusals_count(struct gw_refusals *r, enum gw_gate gate)
{
    r->by_gate[gate]++;
}

const struct gw_refusal *gw_refusals_newest(const struct gw_refusals *r, uint32_t i)
{
    uint64_t kept = r->total < GW_REFUSALS_KEPT ? r->total : GW_REFUSALS_KEPT;
    return i < kept ? &r->kept[(r->total - 1 - i) % GW_REFUSALS_KEPT] : NULL;
}

void gw_refusal_write_name(struct writer *w, enum gw_gate gate, enum mqtt_reason reason)
{
    static const char *const gates[GW_GATE_COUNT] = {
        [GW_GATE_RATE] = "address-rate",
        [GW_GATE_SHARE] = "address-handshakes",
        [GW_GATE_TLS] = "tls",
        [GW_GATE_TIMEOUT] = "handshake-timeout",
        [GW_GATE_IDENTITY] = "identity",
        [GW_GATE_CONNECTIONS] = "connections",
        [GW_GATE_DEVICE] = "device-connections",
    };
    if (gate != GW_GATE_MQTT) {
        write_text(w, gates[gate]);
        return;
    }
    for (const char *at = mqtt_reason_name(reason); *at != '\0'; at++) {
        bool is_upper = *at >= 'A' && *at <= 'Z';
        write_u8(w, (uint8_t)(is_upper ? *at - 'A' + 'a' : *at == ' ' ? '-' : *at));
    }
}

void gw_refusal_write(struct writer *w, const struct gw_refusal *refusal)
{
    uint8_t code = (uint8_t)refusal->reason;
    time_write_rfc3339(w, refusal->wall_ms);
    write_text(w, " ");
    gw_refusal_write_name(w, refusal->gate, refusal->reason);
    write_text(w, refusal->gate == GW_GATE_MQTT ? " 0x" : " -");
    if (refusal->gate == GW_GATE_MQTT) {
        write_hex(w, slice_of(&code, 1));
    }
    write_text(w, " ");
    write_text(w, refusal->address);
    write_text(w, " ");
    if (refusal->has_fingerprint) {
        write_hex(w, slice_of(refusal->fingerprint.bytes, sizeof refusal->fingerprint.bytes));
    } else {
        write_text(w, "-");
    }
    write_text(w, " ");
    write_text(w, refusal->words);
    write_text(w, "\n");
}
