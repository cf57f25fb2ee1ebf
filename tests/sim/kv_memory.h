/*  kv_memory.h: a kv_t in memory that can lose power: what was not synced is forgotten. For tests of the core. */
#ifndef TESTS_SIM_KV_MEMORY_H
#define TESTS_SIM_KV_MEMORY_H

#include "store/kv.h"

kv_t *kv_memory_new (unsigned family_count);
void kv_memory_crash (kv_t *self,
                      bool power_lost);       /* drops the pending batch, and with the power what was not synced */
void kv_memory_fail_next_commit (kv_t *self); /* the next commit answers ERR_DISK_FULL */
uint64_t kv_memory_syncs (const kv_t *self);
size_t kv_memory_count (const kv_t *self, unsigned family);

#endif
