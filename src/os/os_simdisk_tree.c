/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os, for tests: what is on the simulated disk; os_simdisk_int.h says how
 * it is kept, leat/os_test.h what a power loss may leave.
 *
 * Overlapping writes to one sector reach a real disk through one page of the
 * cache, so an older version never overwrites a newer one there: applying the
 * pending writes in order, each sector with or without, gives exactly the
 * states that can be seen, reordering between sectors included.
 */
#include "os_simdisk_int.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leat/mem.h"

#define SECTOR 512

/* ---- random (splitmix64): the same seed gives the same disk on every machine --- */

static uint64_t sim_random(uint64_t *state)
{
        uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
}

/* ---- names ----------------------------------------------------------------------- */

static struct sim_entry *names_find(struct sim_names *names, const char *name, size_t len)
{
        for (size_t i = 0; i < names->count; i++)
                if (strncmp(names->entries[i].name, name, len) == 0 && names->entries[i].name[len] == '\0')
                        return &names->entries[i];
        return NULL;
}

static void names_remove(struct sim_names *names, const char *name)
{
        struct sim_entry *entry = names_find(names, name, strlen(name));
        if (entry == NULL)
                return;
        free(entry->name);
        *entry = names->entries[--names->count];
}

static void names_set(struct sim_names *names, const char *name, struct sim_node *node)
{
        struct sim_entry *entry = names_find(names, name, strlen(name));
        if (entry != NULL) {
                entry->node = node;
                return;
        }
        if (names->count == names->cap) {
                names->cap = LEAT_MAX(names->cap * 2, (size_t)8);
                names->entries = leat_realloc(names->entries, names->cap * sizeof(names->entries[0]));
        }
        names->entries[names->count++] = (struct sim_entry){.name = leat_strdup(name), .node = node};
}

static void names_done(struct sim_names *names)
{
        for (size_t i = 0; i < names->count; i++)
                free(names->entries[i].name);
        free(names->entries);
}

/* ---- nodes ----------------------------------------------------------------------- */

static struct sim_node *node_new(struct sim_tree *tree, bool is_dir)
{
        struct sim_node *node = leat_calloc(1, sizeof(*node));
        node->is_dir = is_dir;
        node->next = tree->nodes;
        tree->nodes = node;
        return node;
}

void leat_sim_node_forget(struct sim_node *node)
{
        for (size_t i = 0; i < node->write_count; i++)
                free(node->writes[i].data);
        node->write_count = 0;
}

static void node_push(struct sim_node *node, struct sim_write write)
{
        if (node->write_count == node->write_cap) {
                node->write_cap = LEAT_MAX(node->write_cap * 2, (size_t)16);
                node->writes = leat_realloc(node->writes, node->write_cap * sizeof(node->writes[0]));
        }
        node->writes[node->write_count++] = write;
}

void leat_sim_node_write(struct sim_node *node, struct leat_view data, int64_t offset)
{
        if (data.len == 0)
                return;
        struct sim_write write = {.offset = offset, .len = data.len, .data = leat_malloc(data.len)};
        memcpy(write.data, data.data, data.len);
        node_push(node, write);
}

void leat_sim_node_resize(struct sim_node *node, int64_t bytes)
{
        node_push(node, (struct sim_write){.offset = bytes});
}

static void image_resize(struct leat_buf *image, size_t bytes)
{
        if (bytes > image->len) {
                memset(leat_buf_reserve(image, bytes - image->len), 0, bytes - image->len);
        }
        image->len = bytes;
}

static void image_write(struct leat_buf *image, const uint8_t *data, size_t len, int64_t offset)
{
        if ((size_t)offset + len > image->len)
                image_resize(image, (size_t)offset + len);
        memcpy(image->data + offset, data, len);
}

static void image_load(struct leat_buf *image, int fd)
{
        struct stat st;
        LEAT_ASSERT(fstat(fd, &st) == 0);
        image_resize(image, 0);
        image_resize(image, (size_t)st.st_size);
        for (size_t done = 0; done < image->len;) {
                ssize_t got = pread(fd, image->data + done, image->len - done, (off_t)done);
                LEAT_ASSERT(got > 0);
                done += (size_t)got;
        }
}

static void op_free(struct sim_op *op)
{
        free(op->from_name);
        free(op->to_name);
}

static void op_apply(const struct sim_op *op)
{
        if (op->from_dir != NULL)
                names_remove(&op->from_dir->synced, op->from_name);
        if (op->to_dir != NULL)
                names_set(&op->to_dir->synced, op->to_name, op->node);
}

void leat_sim_node_sync(struct sim_tree *tree, struct sim_node *node, int fd)
{
        if (!node->is_dir && node->mapped) {
                image_load(&node->image, fd);
                leat_sim_node_forget(node);
                return;
        }
        for (size_t i = 0; i < node->write_count; i++) {
                struct sim_write *write = &node->writes[i];
                if (write->len > 0)
                        image_write(&node->image, write->data, write->len, write->offset);
                else
                        image_resize(&node->image, (size_t)write->offset);
        }
        leat_sim_node_forget(node);
        size_t kept = 0;
        for (size_t i = 0; node->is_dir && i < tree->op_count; i++) {
                struct sim_op *op = &tree->ops[i];
                if (op->from_dir != node && op->to_dir != node) {
                        tree->ops[kept++] = *op;
                        continue;
                }
                op_apply(op);
                op_free(op);
        }
        if (node->is_dir)
                tree->op_count = kept;
}

/* ---- the tree as the process sees it -------------------------------------------------- */

const char *leat_sim_tree_inside(const struct sim_tree *tree, const char *path)
{
        size_t len = strlen(tree->root);
        if (strncmp(path, tree->root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
                return NULL;
        path += len;
        while (*path == '/')
                path++;
        return path;
}

struct sim_node *leat_sim_tree_find(struct sim_tree *tree, const char *inside)
{
        struct sim_node *node = tree->top;
        while (*inside != '\0') {
                size_t len = strcspn(inside, "/");
                struct sim_entry *entry = node->is_dir ? names_find(&node->live, inside, len) : NULL;
                if (entry == NULL)
                        return NULL;
                node = entry->node;
                inside += len;
                while (*inside == '/')
                        inside++;
        }
        return node;
}

struct sim_node *leat_sim_tree_parent(struct sim_tree *tree, const char *inside, const char **ret_name)
{
        const char *slash = strrchr(inside, '/');
        *ret_name = slash != NULL ? slash + 1 : inside;
        if (slash == NULL)
                return tree->top;
        char *dir = leat_strndup(inside, (size_t)(slash - inside));
        struct sim_node *node = leat_sim_tree_find(tree, dir);
        free(dir);
        LEAT_ASSERT(node != NULL && node->is_dir);
        return node;
}

static void tree_op(struct sim_tree *tree, struct sim_node *from_dir, const char *from_name, struct sim_node *to_dir,
                    const char *to_name, struct sim_node *node)
{
        if (tree->op_count == tree->op_cap) {
                tree->op_cap = LEAT_MAX(tree->op_cap * 2, (size_t)32);
                tree->ops = leat_realloc(tree->ops, tree->op_cap * sizeof(tree->ops[0]));
        }
        struct sim_op op = {.from_dir = from_dir, .to_dir = to_dir, .node = node};
        if (from_dir != NULL) {
                op.from_name = leat_strdup(from_name);
                names_remove(&from_dir->live, from_name);
        }
        if (to_dir != NULL) {
                op.to_name = leat_strdup(to_name);
                names_set(&to_dir->live, to_name, node);
        }
        tree->ops[tree->op_count++] = op;
}

void leat_sim_tree_link(struct sim_tree *tree, struct sim_node *node, const char *inside)
{
        const char *name;
        struct sim_node *dir = leat_sim_tree_parent(tree, inside, &name);
        tree_op(tree, NULL, NULL, dir, name, node);
}

struct sim_node *leat_sim_tree_create(struct sim_tree *tree, const char *inside, bool is_dir)
{
        struct sim_node *node = node_new(tree, is_dir);
        leat_sim_tree_link(tree, node, inside);
        return node;
}

void leat_sim_tree_unlink(struct sim_tree *tree, const char *inside)
{
        const char *name;
        struct sim_node *dir = leat_sim_tree_parent(tree, inside, &name);
        tree_op(tree, dir, name, NULL, NULL, NULL);
}

void leat_sim_tree_rename(struct sim_tree *tree, const char *from, const char *to)
{
        const char *from_name, *to_name;
        struct sim_node *node = leat_sim_tree_find(tree, from);
        struct sim_node *from_dir = leat_sim_tree_parent(tree, from, &from_name);
        struct sim_node *to_dir = leat_sim_tree_parent(tree, to, &to_name);
        LEAT_ASSERT(node != NULL);
        tree_op(tree, from_dir, from_name, to_dir, to_name, node);
}

uint64_t leat_sim_tree_unsynced_bytes(const struct sim_tree *tree)
{
        uint64_t bytes = 0;
        for (const struct sim_node *node = tree->nodes; node != NULL; node = node->next)
                for (size_t i = 0; i < node->write_count; i++)
                        bytes += node->writes[i].len;
        return bytes;
}

/* ---- reading a folder ------------------------------------------------------------------ */

struct load_walk {
        struct sim_tree *tree;
        struct sim_node *dir;
        const char *path;
};

static void load_dir(struct sim_tree *tree, struct sim_node *dir, const char *path);

static int load_entry(void *arg, const char *name, bool is_dir)
{
        struct load_walk *walk = arg;
        struct sim_node *node = node_new(walk->tree, is_dir);
        char *path = leat_asprintf("%s/%s", walk->path, name);
        names_set(&walk->dir->live, name, node);
        names_set(&walk->dir->synced, name, node);
        if (is_dir) {
                load_dir(walk->tree, node, path);
        } else {
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                LEAT_ASSERT(fd >= 0);
                image_load(&node->image, fd);
                close(fd);
        }
        free(path);
        return 0;
}

static void load_dir(struct sim_tree *tree, struct sim_node *dir, const char *path)
{
        struct load_walk walk = {.tree = tree, .dir = dir, .path = path};
        int rc = leat_os_list(path, load_entry, &walk, NULL);
        LEAT_ASSERT(rc == 0);
}

struct sim_tree *leat_sim_tree_new(const char *root)
{
        struct sim_tree *tree = leat_calloc(1, sizeof(*tree));
        LEAT_ASSERT(root[0] == '/');
        tree->root = leat_strdup(root);
        size_t len = strlen(tree->root);
        while (len > 1 && tree->root[len - 1] == '/')
                tree->root[--len] = '\0';
        tree->top = node_new(tree, true);
        load_dir(tree, tree->top, tree->root);
        return tree;
}

void leat_sim_tree_free(struct sim_tree *tree)
{
        while (tree->nodes != NULL) {
                struct sim_node *node = tree->nodes;
                tree->nodes = node->next;
                leat_sim_node_forget(node);
                free(node->writes);
                names_done(&node->live);
                names_done(&node->synced);
                leat_buf_done(&node->image);
                free(node->made_at);
                free(node);
        }
        for (size_t i = 0; i < tree->op_count; i++)
                op_free(&tree->ops[i]);
        free(tree->ops);
        free(tree->root);
        free(tree);
}

/* ---- power loss -------------------------------------------------------------------------- */

enum survival { KEEP_NONE, KEEP_ALL, KEEP_PREFIX, KEEP_SECTORS };

static enum survival survival_draw(uint64_t seed, uint64_t *random)
{
        if (seed == 0)
                return KEEP_NONE;
        if (seed == 1)
                return KEEP_ALL;
        uint64_t draw = sim_random(random) % 8;
        return draw == 0 ? KEEP_NONE : draw == 1 ? KEEP_ALL : draw < 4 ? KEEP_PREFIX : KEEP_SECTORS;
}

/* One pending write, each 512-byte sector of the disk with or without it. */
static void survive_sectors(struct leat_buf *image, const struct sim_write *write, uint64_t *random)
{
        size_t done = 0;
        while (done < write->len) {
                size_t in_sector = (size_t)((write->offset + (int64_t)done) % SECTOR);
                size_t bytes = LEAT_MIN(write->len - done, SECTOR - in_sector);
                if (sim_random(random) & 1)
                        image_write(image, write->data + done, bytes, write->offset + (int64_t)done);
                done += bytes;
        }
}

static void node_survive(struct sim_node *node, uint64_t seed, uint64_t *random)
{
        enum survival how = survival_draw(seed, random);
        size_t prefix = node->write_count > 0 ? sim_random(random) % (node->write_count + 1) : 0;
        size_t reached = node->image.len; /* the size may have reached the disk before the bytes */
        for (size_t i = 0; i < node->write_count; i++) {
                struct sim_write *write = &node->writes[i];
                reached = LEAT_MAX(reached, (size_t)write->offset + write->len);
                if (how == KEEP_NONE || (how == KEEP_PREFIX && i > prefix))
                        continue;
                if (write->len == 0) {
                        if (how != KEEP_SECTORS || (sim_random(random) & 1))
                                image_resize(&node->image, (size_t)write->offset);
                } else if (how == KEEP_SECTORS || (how == KEEP_PREFIX && i == prefix)) {
                        survive_sectors(&node->image, write, random);
                } else {
                        image_write(&node->image, write->data, write->len, write->offset);
                }
        }
        if (how == KEEP_SECTORS && sim_random(random) % 4 == 0 && reached > node->image.len)
                image_resize(&node->image, reached);
}

/* What was stored through mappings and not synced, as writes of whole sectors. */
static void mapped_writes(struct sim_node *node, const char *path)
{
        struct leat_buf now = LEAT_BUF_INIT;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        image_load(&now, fd);
        close(fd);
        if (now.len != node->image.len)
                leat_sim_node_resize(node, (int64_t)now.len);
        for (size_t at = 0; at < now.len; at += SECTOR) {
                size_t bytes = LEAT_MIN(now.len - at, (size_t)SECTOR);
                if (at + bytes > node->image.len || memcmp(now.data + at, node->image.data + at, bytes) != 0)
                        leat_sim_node_write(node, leat_view_of(now.data + at, bytes), (int64_t)at);
        }
        leat_buf_done(&now);
}

static void mapped_walk(struct sim_node *dir, const char *path)
{
        for (size_t i = 0; i < dir->live.count; i++) {
                struct sim_node *node = dir->live.entries[i].node;
                char *below = leat_asprintf("%s/%s", path, dir->live.entries[i].name);
                if (node->is_dir)
                        mapped_walk(node, below);
                else if (node->mapped)
                        mapped_writes(node, below);
                free(below);
        }
}

/* Each folder keeps a prefix of its own pending operations. */
static void names_survive(struct sim_tree *tree, uint64_t seed, uint64_t *random)
{
        for (size_t i = 0; i < tree->op_count; i++) {
                struct sim_op *op = &tree->ops[i];
                (op->to_dir != NULL ? op->to_dir : op->from_dir)->keep_ops++;
        }
        for (struct sim_node *node = tree->nodes; node != NULL; node = node->next) {
                enum survival how = survival_draw(seed, random);
                size_t prefix = sim_random(random) % (node->keep_ops + 1);
                node->keep_ops = how == KEEP_NONE ? 0 : how == KEEP_ALL ? node->keep_ops : prefix;
        }
        for (size_t i = 0; i < tree->op_count; i++) {
                struct sim_op *op = &tree->ops[i];
                struct sim_node *dir = op->to_dir != NULL ? op->to_dir : op->from_dir;
                if (dir->keep_ops == 0)
                        continue;
                dir->keep_ops--;
                op_apply(op);
        }
}

static int remove_below(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st, (void)type;
        return ftw->level > 0 ? remove(path) : 0;
}

static void materialize(struct sim_node *dir, const char *path)
{
        for (size_t i = 0; i < dir->synced.count; i++) {
                struct sim_node *node = dir->synced.entries[i].node;
                char *below = leat_asprintf("%s/%s", path, dir->synced.entries[i].name);
                if (node->is_dir) {
                        LEAT_ASSERT(mkdir(below, 0750) == 0);
                        materialize(node, below);
                        free(below);
                } else if (node->made_at != NULL) {
                        LEAT_ASSERT(link(node->made_at, below) == 0);
                        free(below);
                } else {
                        FILE *file = fopen(below, "wb");
                        LEAT_ASSERT(file != NULL);
                        size_t put = node->image.len > 0 ? fwrite(node->image.data, 1, node->image.len, file) : 0;
                        LEAT_ASSERT(put == node->image.len && fclose(file) == 0);
                        node->made_at = below;
                }
        }
}

/* After the reboot the process sees what survived, and nothing is pending. */
static void tree_reboot(struct sim_tree *tree)
{
        for (struct sim_node *node = tree->nodes; node != NULL; node = node->next) {
                leat_sim_node_forget(node);
                node->mapped = false;
                node->keep_ops = 0;
                free(node->made_at);
                node->made_at = NULL;
                names_done(&node->live);
                node->live = (struct sim_names){0};
                for (size_t i = 0; i < node->synced.count; i++)
                        names_set(&node->live, node->synced.entries[i].name, node->synced.entries[i].node);
        }
        for (size_t i = 0; i < tree->op_count; i++)
                op_free(&tree->ops[i]);
        tree->op_count = 0;
}

void leat_sim_tree_power_loss(struct sim_tree *tree, uint64_t seed)
{
        uint64_t random = seed;
        mapped_walk(tree->top, tree->root);
        for (struct sim_node *node = tree->nodes; node != NULL; node = node->next)
                if (!node->is_dir)
                        node_survive(node, seed, &random);
        names_survive(tree, seed, &random);
        nftw(tree->root, remove_below, 16, FTW_DEPTH | FTW_PHYS);
        materialize(tree->top, tree->root);
        tree_reboot(tree);
}
