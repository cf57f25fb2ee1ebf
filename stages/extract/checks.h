/*  checks.h: what a record from a parser must be like to be believed. 0, or -1 with ERR_PROTOCOL. */
#ifndef EXTRACT_CHECKS_H
#define EXTRACT_CHECKS_H

#include "stages/extract/records.h"
#include "stages/extract/sink.h"

int check_segment (const record_segment_t *segment, err_t *err);
int check_warning (const record_warning_t *warning, err_t *err);
int check_meta (const record_meta_t *meta, err_t *err);
int check_step (const record_step_t *step, err_t *err);
int check_end (const record_end_t *end, err_t *err);

#endif
