/*  xml.h: walks an XML document (libxml2 behind it): no tree, no network, no entities of its own, no DTD.
 *  Elements and attributes are told by their local names; the formats read here never mix them up.
 */
#ifndef EXTRACT_XML_H
#define EXTRACT_XML_H

#include "base/err.h"
#include "base/span.h"

typedef struct {
    const unsigned char **rows; /* as libxml2 gives them; use xml_attribute */
    int count;
} xml_attributes_t;

/*  Return values: 0, or -1 to stop the walk (which is no error). NULL: not wanted. */
typedef struct {
    int (*start) (void *self, const char *name, const xml_attributes_t *attributes);
    int (*end) (void *self, const char *name);
    int (*text) (void *self, span_t text, size_t consumed);
} xml_walker_t;

#define XML_REFUSE_DOCTYPE 1u /* office formats have none; who brings one is up to no good */

/*  Walks `bytes`; `encoding`: NULL: as the document says. Walks on over errors as far as can be; then -1 with
 *  ERR_DAMAGED_DOCUMENT. */
int xml_walk (span_t bytes, const char *encoding, unsigned flags, const xml_walker_t *walker, void *self, err_t *err);

/*  The value of the attribute with this local name; empty with data NULL when there is none. Not unescaped further. */
span_t xml_attribute (const xml_attributes_t *attributes, const char *name);
/*  As xml_attribute, as a whole number; `fallback` when missing or something else. */
long xml_attribute_number (const xml_attributes_t *attributes, const char *name, long fallback);

#endif
