/*
 * MQTT 5.0 and 3.1.1: frames from a stream of bytes, packets from frames, and back. Strict: what
 * the standard forbids is refused with the reason code it asks for and the clause that was broken.
 * Knows one packet at a time: which packet may come when, and whether an id is in use, is the
 * session's business.
 */
#ifndef CODEC_MQTT_H
#define CODEC_MQTT_H

#include "base/writer.h"
#include "codec/mqtt_packet.h"

enum mqtt_result {
    MQTT_OK = 0,
    MQTT_MORE,    /* framing: the packet is not complete yet */
    MQTT_REFUSED, /* see the fault */
    MQTT_NO_ROOM  /* encoding: the writer is too small */
};

/* What was wrong: the reason code for a DISCONNECT or CONNACK, and the clause in words. */
struct mqtt_fault {
    enum mqtt_reason reason;
    const char *clause;        /* static */
    enum mqtt_version version; /* of a refused CONNECT that said one, to answer in; otherwise 0 */
};

/* ---- frames ---- */

enum { MQTT_REMAINING_LENGTH_MAX = 268435455, MQTT_FIXED_HEADER_MAX = 5 };

struct mqtt_frame {
    enum mqtt_type type;
    uint8_t flags;     /* low half of the first byte */
    size_t size;       /* of the whole packet, fixed header included */
    struct slice body; /* what follows the fixed header */
};

/*
 * The first packet in `bytes`. Looks at five bytes at most before it refuses a reserved type or
 * flag, a length that is not minimal (both 0x81), or a packet of more than `size_max` bytes (0x95),
 * so that nothing is ever buffered for a packet that will not be taken. MQTT_MORE: out->size is the
 * size of the packet where its header is complete, otherwise zero.
 */
MUST_USE enum mqtt_result mqtt_frame_next(struct slice bytes,
                                          size_t size_max,
                                          struct mqtt_frame *out,
                                          struct mqtt_fault *fault);

/* ---- packets ---- */

/*
 * MQTT_OK or MQTT_REFUSED. `version` is what the connection agreed on; a CONNECT says its own
 * (connect.version) and ignores it. `sender` says who sent the frame: a packet, property or reason
 * code that this side may not send is refused.
 */
MUST_USE enum mqtt_result mqtt_decode(const struct mqtt_frame *frame,
                                      enum mqtt_version version,
                                      enum mqtt_sender sender,
                                      struct mqtt_packet *out,
                                      struct mqtt_fault *fault);

/*
 * Appends the packet; MQTT_NO_ROOM leaves the writer as it was. MQTT_REFUSED where the struct is
 * not a packet this sender may send: the encoder holds itself to what the decoder demands of
 * fields, properties and codes.
 */
MUST_USE enum mqtt_result mqtt_encode(const struct mqtt_packet *packet,
                                      enum mqtt_version version,
                                      enum mqtt_sender sender,
                                      struct writer *w);

/* A PUBACK, PUBREC, PUBREL or PUBCOMP as mqtt_encode makes it, without its checks: a gateway's most
 * frequent words. 3.1.1 has no reasons. */
enum { MQTT_ACK_MAX = 5 };
void mqtt_ack_write(struct writer *w,
                    enum mqtt_version version,
                    enum mqtt_type type,
                    uint16_t packet_id,
                    uint8_t reason);

/* ---- lists inside packets; `rest` begins as the packet's slice and is advanced; false at the end
 * ---- */

bool mqtt_subscription_next(struct slice *rest,
                            enum mqtt_version version,
                            struct mqtt_subscription *out);
bool mqtt_filter_next(struct slice *rest, struct slice *filter);
bool mqtt_user_property_next(struct slice *rest, struct slice *name, struct slice *value);
bool mqtt_subscription_id_next(struct slice *rest, uint32_t *id);

void mqtt_subscription_write(struct writer *w, const struct mqtt_subscription *subscription);
void mqtt_filter_write(struct writer *w, struct slice filter);
void mqtt_user_property_write(struct writer *w, struct slice name, struct slice value);
void mqtt_subscription_id_write(struct writer *w, uint32_t id); /* 1 to 268,435,455 */

/* ---- properties ---- */

bool mqtt_has(const struct mqtt_properties *properties, enum mqtt_property property);
void mqtt_set(struct mqtt_properties *properties, enum mqtt_property property);

/* ---- names and numbers ---- */

const char *mqtt_type_name(enum mqtt_type type);       /* "PUBLISH" */
const char *mqtt_reason_name(enum mqtt_reason reason); /* "Packet too large" (2.4) */

/* The number from the wire, where the standard knows it. */
bool mqtt_reason_from_wire(uint8_t raw, enum mqtt_reason *out);

/* The nearest CONNACK return code of 3.1.1 (3.2.2.3): 0 to 5. */
uint8_t mqtt_return_code(enum mqtt_reason reason);

#endif
