#include "codec/cms.h"

#include "base/invariant.h"
#include "codec/der.h"
#include "codec/x509_oid.h"

enum { SIGNED_DATA_VERSION = 1 };

static void sort_by_encoding(struct slice *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct slice moved = list[i];
        size_t to = i;
        for (; to > 0 && slice_compare(list[to - 1], moved) > 0; to--) {
            list[to] = list[to - 1];
        }
        list[to] = moved;
    }
}

enum cms_result cms_certs_write(struct writer *w, const struct slice *certs, size_t count)
{
    struct slice sorted[CMS_CERTS_MAX];
    if (count > CMS_CERTS_MAX) {
        return CMS_TOO_LONG;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = certs[i];
    }
    sort_by_encoding(sorted, count);

    size_t content_info = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(OID_CMS_SIGNED_DATA));
    size_t wrapped = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    size_t signed_data = der_begin(w, DER_SEQUENCE);
    der_write_u32(w, SIGNED_DATA_VERSION);
    der_write(w, DER_SET, (struct slice){0}); /* digestAlgorithms */
    size_t encapsulated = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(OID_CMS_DATA));
    der_end(w, encapsulated);
    size_t set = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    for (size_t i = 0; i < count; i++) {
        write_slice(w, sorted[i]);
    }
    der_end(w, set);
    der_write(w, DER_SET, (struct slice){0}); /* signerInfos */
    der_end(w, signed_data);
    der_end(w, wrapped);
    der_end(w, content_info);
    return writer_ok(w) ? CMS_OK : CMS_TOO_LONG;
}

/* SignedData up to its certificates (RFC 5652 5.1), which are left to be read. */
static struct reader enter_certificates(struct reader *signed_data)
{
    uint32_t version = der_read_u32(signed_data);
    (void)der_read(signed_data, DER_SET);
    struct reader encapsulated = der_enter(signed_data, DER_SEQUENCE);
    struct slice type = der_read_oid(&encapsulated);
    der_leave(signed_data, &encapsulated); /* no content */
    if (!x509_oid_is(type, OID_CMS_DATA) || version < 1 || version > 5) {
        reader_fail(signed_data);
    }
    return der_enter(signed_data, DER_CONTEXT_CONSTRUCTED | 0);
}

/* What may follow the certificates: CRLs, which we do not use, and an empty set of signers. */
static void read_rest(struct reader *signed_data)
{
    if (der_next_is(signed_data, DER_CONTEXT_CONSTRUCTED | 1)) {
        (void)der_read(signed_data, DER_CONTEXT_CONSTRUCTED | 1);
    }
    if (der_read(signed_data, DER_SET).len > 0) {
        reader_fail(signed_data);
    }
}

enum cms_result cms_certs_read(
    struct slice der, struct slice *certs, size_t cap, size_t *count, struct fault *fault)
{
    struct reader outer = reader_over(der);
    struct reader content_info = der_enter(&outer, DER_SEQUENCE);
    struct slice type = der_read_oid(&content_info);
    struct reader wrapped = der_enter(&content_info, DER_CONTEXT_CONSTRUCTED | 0);
    struct reader signed_data = der_enter(&wrapped, DER_SEQUENCE);
    if (!reader_ok(&signed_data) || !x509_oid_is(type, OID_CMS_SIGNED_DATA)) {
        fault_note(fault, "RFC 5652 5.1: not a SignedData in DER", 0);
        return CMS_MALFORMED;
    }
    struct reader set = enter_certificates(&signed_data);
    size_t found = 0;
    while (reader_peek(&set) >= 0) {
        struct slice certificate = der_read_whole(&set, DER_SEQUENCE);
        if (found == cap) {
            fault_note(fault, "more certificates than are taken", found);
            return CMS_TOO_LONG;
        }
        certs[found++] = certificate;
    }
    der_leave(&signed_data, &set);
    read_rest(&signed_data);
    der_leave(&wrapped, &signed_data);
    der_leave(&content_info, &wrapped);
    der_leave(&outer, &content_info);
    if (!reader_done(&outer)) {
        fault_note(fault, "RFC 7030 4.1.3: not certificates alone, without content and signers", 0);
        return CMS_MALFORMED;
    }
    *count = found;
    return CMS_OK;
}
