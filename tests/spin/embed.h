/* A world of the explorer, as Spin steps it. */
#ifndef TESTS_SPIN_EMBED_H
#define TESTS_SPIN_EMBED_H

enum { EMBED_WORLD_BYTES = 4096, EMBED_PACKED_BYTES = 288, EMBED_EVENTS = 24 };

/* Put back when Spin goes back, and not compared. */
struct embed {
    _Alignas(16) unsigned char world[EMBED_WORLD_BYTES];
    unsigned char can[EMBED_EVENTS]; /* is there an event of this number? */
    unsigned char is_good;           /* nothing was broken */
    unsigned char is_quiet;          /* the last event was one of the world's own */
    unsigned char is_starved;        /* a fair event could have happened, and another did */
    unsigned char is_settled;
};
extern struct embed embed;
extern unsigned char embed_packed[EMBED_PACKED_BYTES]; /* what two states are compared by */

void embed_begin(void);
void embed_take(int event);

#endif
