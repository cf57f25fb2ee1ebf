/*  ready.h: an ordered set that also knows positions: the ready queues and the deadlines of the core.
 *
 *  A treap with subtree sizes; nodes are embedded in what they order, so nothing is allocated. Weights come from
 *  the key, so equal histories give equal trees.
 */
#ifndef BROKER_CORE_READY_H
#define BROKER_CORE_READY_H

#include <stdint.h>

typedef struct ready_node {
    struct ready_node *left, *right;
    uint64_t rank;  /* first key */
    uint64_t order; /* second key; (rank, order) is unique within a set */
    uint32_t size, weight;
} ready_node_t;

typedef struct {
    ready_node_t *root;
} ready_t;

void ready_insert (ready_t *self, ready_node_t *node, uint64_t rank, uint64_t order);
void ready_remove (ready_t *self, ready_node_t *node);                   /* the node must be in the set */
ready_node_t *ready_first (const ready_t *self);                         /* NULL when empty */
uint32_t ready_position (const ready_t *self, const ready_node_t *node); /* nodes before it */
uint32_t ready_size (const ready_t *self);

#endif
