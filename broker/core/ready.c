#include "broker/core/ready.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

static uint32_t size_of (const ready_node_t *node)
{
    return node ? node->size : 0;
}

static void update (ready_node_t *node)
{
    node->size = 1 + size_of (node->left) + size_of (node->right);
}

static bool before (const ready_node_t *a, const ready_node_t *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->order < b->order);
}

/*  Splits `node` into what is before `pivot` and the rest. */
static void split (ready_node_t *node, const ready_node_t *pivot, ready_node_t **low, ready_node_t **high)
{
    if (!node) {
        *low = *high = NULL;
        return;
    }
    if (before (node, pivot)) {
        split (node->right, pivot, &node->right, high);
        *low = node;
    } else {
        split (node->left, pivot, low, &node->left);
        *high = node;
    }
    update (node);
}

static ready_node_t *merge (ready_node_t *low, ready_node_t *high)
{
    if (!low || !high)
        return low ? low : high;
    if (low->weight >= high->weight) {
        low->right = merge (low->right, high);
        update (low);
        return low;
    }
    high->left = merge (low, high->left);
    update (high);
    return high;
}

void ready_insert (ready_t *self, ready_node_t *node, uint64_t rank, uint64_t order)
{
    uint64_t mixed = (rank * 0xff51afd7ed558ccdu) ^ (order * 0x9e3779b97f4a7c15u);
    mixed ^= mixed >> 33;
    mixed *= 0xc4ceb9fe1a85ec53u;
    *node = (ready_node_t){ NULL, NULL, rank, order, 1, (uint32_t)(mixed >> 32) };
    ready_node_t **at = &self->root;
    while (*at && (*at)->weight >= node->weight) {
        (*at)->size++;
        at = before (*at, node) ? &(*at)->right : &(*at)->left;
    }
    split (*at, node, &node->left, &node->right);
    update (node);
    *at = node;
}

void ready_remove (ready_t *self, ready_node_t *node)
{
    ready_node_t **at = &self->root;
    while (*at != node) {
        assert (*at);
        (*at)->size--;
        at = before (*at, node) ? &(*at)->right : &(*at)->left;
    }
    *at = merge (node->left, node->right);
    node->left = node->right = NULL;
    node->size = 0;
}

ready_node_t *ready_first (const ready_t *self)
{
    ready_node_t *node = self->root;
    while (node && node->left)
        node = node->left;
    return node;
}

uint32_t ready_position (const ready_t *self, const ready_node_t *node)
{
    uint32_t position = 0;
    const ready_node_t *at = self->root;
    while (at != node) {
        assert (at);
        if (before (at, node)) {
            position += size_of (at->left) + 1;
            at = at->right;
        } else
            at = at->left;
    }
    return position + size_of (node->left);
}

uint32_t ready_size (const ready_t *self)
{
    return size_of (self->root);
}
