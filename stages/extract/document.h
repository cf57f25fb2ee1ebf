/*  document.h: the bytes of a job's document, from its message or its file. */
#ifndef EXTRACT_DOCUMENT_H
#define EXTRACT_DOCUMENT_H

#include "stages/runtime/worker.h"

/*  The bytes in memory: *blob (one reference, for the caller). For small documents. 0, or -1 and *err. */
int document_read (const worker_job_t *job, buf_t **blob, err_t *err);

/*  A descriptor to read (and map) them by, for the caller to close; or -1 and *err. */
int document_open (const worker_job_t *job, err_t *err);

#endif
