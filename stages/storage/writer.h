/*  writer.h: the writing half of the storage program: the worker's loop. */
#ifndef STAGES_STORAGE_WRITER_H
#define STAGES_STORAGE_WRITER_H

#include "stages/runtime/worker.h"
#include "store/content.h"

#define WRITER_SLOTS 256u /* jobs held at once, so that many can share one commit */

/*  Applies jobs until the worker is drained. 0, or -1 and *err when the content can no longer be written, or
 *  `trouble_fd` became readable: the jobs in hand were given back, and the process is to end and be started anew. */
int writer_run (worker_t *worker, content_t *content, int trouble_fd, err_t *err);

#endif
