// SPDX-License-Identifier: Apache-2.0
//
// leat/format: the one C++ file. simdjson finds the tokens of a text (its stage 1, which also checks UTF-8, control
// characters in strings and that strings are closed); format_walk.c reads them. Its own value API is not used: we
// check every byte of unknown fields too, borrow strings in place, and read types that JSON does not have.

#include <simdjson.h>

extern "C" {
#include "format_index.h"
}

namespace
{
constexpr size_t capacity_min = 64 * 1024;
}

struct leat_format_index {
        std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
};

struct leat_format_index *leat_format_index_new(void)
{
        auto *index = new leat_format_index;
        if (simdjson::get_active_implementation()->create_dom_parser_implementation(capacity_min, 64, index->parser) !=
            simdjson::SUCCESS)
                abort();
        return index;
}

void leat_format_index_free(struct leat_format_index *index)
{
        delete index;
}

const char *leat_format_index_run(struct leat_format_index *index, const uint8_t *data, size_t len,
                                  const uint32_t **ret_tokens, uint32_t *ret_count)
{
        auto &parser = *index->parser;
        if (len > parser.capacity() && parser.allocate(len + len / 2, 64) != simdjson::SUCCESS)
                return "is too large";
        switch (parser.stage1(data, len, simdjson::stage1_mode::regular)) {
        case simdjson::SUCCESS:
                *ret_tokens = parser.structural_indexes.get();
                *ret_count = parser.n_structural_indexes;
                return nullptr;
        case simdjson::UTF8_ERROR:
                return "is not UTF-8";
        case simdjson::UNCLOSED_STRING:
                return "has a string that is not closed";
        case simdjson::UNESCAPED_CHARS:
                return "has a control character inside a string";
        case simdjson::EMPTY:
                return "is empty";
        default:
                return "is not JSON";
        }
}

bool leat_format_index_utf8(const uint8_t *data, size_t len)
{
        return simdjson::validate_utf8(reinterpret_cast<const char *>(data), len);
}
