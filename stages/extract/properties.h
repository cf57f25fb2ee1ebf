/*  properties.h: title, author and the like from the XML in which office formats keep them (docProps/core.xml of
 *  DOCX, meta.xml of ODF). */
#ifndef EXTRACT_PROPERTIES_H
#define EXTRACT_PROPERTIES_H

#include "stages/extract/sink.h"

/*  Damage is ignored: the text matters. */
void properties_pour (span_t xml, sink_t *sink);

#endif
