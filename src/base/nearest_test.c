#include "base/nearest.h"
#include "test/test.h"

#include <string.h>

static const char *const words[] = {"listen", "name", "versions", "inflight"};

TEST("a slip of the finger finds its word, another word finds none")
{
    const char *near = nearest_word(slice_text("listn"), words, COUNT_OF(words));
    CHECK(near != NULL && strcmp(near, "listen") == 0);
    near = nearest_word(slice_text("nmae"), words, COUNT_OF(words));
    CHECK(near != NULL && strcmp(near, "name") == 0);
    CHECK(nearest_word(slice_text("password"), words, COUNT_OF(words)) == NULL);
    CHECK(nearest_word(slice_text(""), words, COUNT_OF(words)) == NULL);
}
