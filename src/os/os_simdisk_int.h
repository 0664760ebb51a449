/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os, for tests: the picture that a simulated disk keeps of its folder.
 * os_simdisk_tree.c is the picture (what is synced, what is pending, what a
 * power loss leaves); os_simdisk.c the system calls around it.
 *
 * The real folder always holds what the running process sees. Beside it the
 * tree keeps, for each file, the bytes as of the last sync and the writes
 * since; and for each folder the names as of the last sync and one ordered
 * list of what was done to names since.
 */
#ifndef LEAT_OS_SIMDISK_INT_H
#define LEAT_OS_SIMDISK_INT_H

#include "leat/bytes.h"
#include "leat/os_test.h"

/* A write, or (len 0) a change of size to `offset`. */
struct sim_write {
        int64_t offset;
        size_t len;
        uint8_t *data;
};

struct sim_entry {
        char *name;
        struct sim_node *node;
};
struct sim_names {
        struct sim_entry *entries;
        size_t count, cap;
};

struct sim_node {
        struct sim_node *next; /* all nodes, for freeing */
        bool is_dir;
        bool mapped; /* written through a mapping: what changed is found by comparing */
        /* a folder */
        struct sim_names live, synced;
        size_t keep_ops; /* at a power loss: so many pending operations survive */
        /* a file */
        struct leat_buf image;
        struct sim_write *writes;
        size_t write_count, write_cap;
        char *made_at; /* at a power loss: where it was written first, for hard links */
};

/* One thing done to names: unlink (to NULL), create, link, mkdir (from NULL), or rename (both). */
struct sim_op {
        struct sim_node *from_dir, *to_dir;
        char *from_name, *to_name;
        struct sim_node *node;
};

struct sim_tree {
        char *root; /* absolute, no slash at the end */
        struct sim_node *top;
        struct sim_node *nodes;
        struct sim_op *ops;
        size_t op_count, op_cap;
};

/* Reads the folder as it is; everything in it is synced. */
struct sim_tree *leat_sim_tree_new(const char *root);
void leat_sim_tree_free(struct sim_tree *tree);
/* The part of @path below the root ("" for the root itself), NULL when it is elsewhere. */
const char *leat_sim_tree_inside(const struct sim_tree *tree, const char *path);
/* The node of a path below the root as the process sees it; NULL when there is none. */
struct sim_node *leat_sim_tree_find(struct sim_tree *tree, const char *inside);
/* The folder that holds @inside, and the last part of the name in *ret_name. */
struct sim_node *leat_sim_tree_parent(struct sim_tree *tree, const char *inside, const char **ret_name);
struct sim_node *leat_sim_tree_create(struct sim_tree *tree, const char *inside, bool is_dir);
void leat_sim_tree_link(struct sim_tree *tree, struct sim_node *node, const char *inside);
void leat_sim_tree_unlink(struct sim_tree *tree, const char *inside);
void leat_sim_tree_rename(struct sim_tree *tree, const char *from, const char *to);
/* Notes @data at @offset as written and not synced. */
void leat_sim_node_write(struct sim_node *node, struct leat_view data, int64_t offset);
void leat_sim_node_resize(struct sim_node *node, int64_t bytes);
/* Makes all that is pending of a file (from descriptor @fd) or of a folder durable. */
void leat_sim_node_sync(struct sim_tree *tree, struct sim_node *node, int fd);
/* Forgets the pending writes of a file: they never reach the disk. */
void leat_sim_node_forget(struct sim_node *node);
uint64_t leat_sim_tree_unsynced_bytes(const struct sim_tree *tree);
/* Rewrites the real folder to what survives; nothing is pending afterwards. */
void leat_sim_tree_power_loss(struct sim_tree *tree, uint64_t seed);

#endif
