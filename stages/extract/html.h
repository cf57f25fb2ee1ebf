/*  html.h: pours HTML that is already UTF-8; used by every format that has HTML inside. */
#ifndef EXTRACT_HTML_H
#define EXTRACT_HTML_H

#include "stages/extract/flow.h"

/*  Pours `html`; a piece without <html> and <body> will do. Malformed markup is no error. */
void html_pour (span_t html, flow_t *flow);

#endif
