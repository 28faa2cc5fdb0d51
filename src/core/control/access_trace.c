#include "core/control/access_trace.h"

#define FIELD(member, kind, most) TRACE_FIELD(struct access_image, member, kind, most)
static const struct trace_field fields[] = {
    FIELD(has_credential, TRACE_FLAG, 0),
    FIELD(is_known, TRACE_FLAG, 0),
    FIELD(is_cookie, TRACE_FLAG, 0),
    FIELD(changes, TRACE_FLAG, 0),
    FIELD(has_mark, TRACE_FLAG, 0),
    FIELD(origin_len, TRACE_UINT, ACCESS_TRACE_TEXT_MAX),
    FIELD(fetch_site_len, TRACE_UINT, ACCESS_TRACE_TEXT_MAX),
    FIELD(rights, TRACE_UINT, UINT32_MAX),
    FIELD(needs, TRACE_UINT, UINT32_MAX),
};
static const struct trace_shape shape = {
    .fields = fields, .count = COUNT_OF(fields), .image_len = sizeof(struct access_image)};

const struct trace_core access_trace = {.name = "control-access", .event = &shape};

static struct slice cut(struct slice text)
{
    return slice_of(text.at, text.len < ACCESS_TRACE_TEXT_MAX ? text.len : ACCESS_TRACE_TEXT_MAX);
}

void access_keep(const struct access_request *request,
                 struct access_image *image,
                 struct writer *bytes)
{
    struct slice origin = cut(request->origin);
    struct slice fetch_site = cut(request->fetch_site);
    *image = (struct access_image){
        .has_credential = request->has_credential,
        .is_known = request->is_known,
        .is_cookie = request->is_cookie,
        .changes = request->changes,
        .has_mark = request->has_mark,
        .origin_len = (uint16_t)origin.len,
        .fetch_site_len = (uint16_t)fetch_site.len,
        .rights = request->rights,
        .needs = request->needs,
    };
    write_slice(bytes, origin);
    write_slice(bytes, fetch_site);
    write_slice(bytes, cut(request->own_origin));
}

bool access_again(const struct access_image *image, struct slice bytes)
{
    struct slice rest = slice_after(bytes, image->origin_len);
    if (bytes.len < (size_t)image->origin_len + image->fetch_site_len) {
        return false;
    }
    const struct access_request request = {
        .has_credential = image->has_credential,
        .is_known = image->is_known,
        .is_cookie = image->is_cookie,
        .changes = image->changes,
        .has_mark = image->has_mark,
        .origin = slice_of(bytes.at, image->origin_len),
        .fetch_site = slice_of(rest.at, image->fetch_site_len),
        .own_origin = slice_after(rest, image->fetch_site_len),
        .rights = image->rights,
        .needs = image->needs,
    };
    (void)access_decide(&request);
    return true;
}
