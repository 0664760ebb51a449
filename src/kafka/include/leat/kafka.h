/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: Kafka's protocol without sockets, both directions.
 *
 * A frame is a length (int32) and a body: header, then one message. Messages
 * are plain structs (leat/kafka_messages.h, made from kafka_messages.txt),
 * read and written by walking tables, so all versions of a message share one
 * struct: fields that a version does not have keep their defaults when read
 * and are left out when written.
 *
 *   server   leat_kafka_request_parse, leat_kafka_request_decode … leat_kafka_response_encode
 *   client   leat_kafka_request_encode … leat_kafka_response_decode
 *
 * Record batches and compression are in leat/batch.h.
 *
 * Memory: decoded structs and arrays come from the caller's arena; strings,
 * bytes and records are views into the frame (nothing is copied).
 * Threads: no state; any.
 */
#ifndef LEAT_KAFKA_H
#define LEAT_KAFKA_H

#include "leat/base.h"
#include "leat/record.h"

/* Record bytes of a message. Read: `view`. Written: all slices of `chain` when it is not NULL (they move to the
 * output), else a copy of `view`; view.data NULL is Kafka's null. */
struct leat_kafka_records {
        struct leat_view view;
        struct leat_chain *chain;
};

struct leat_kafka_schema;

#include "leat/kafka_messages.h"

struct leat_kafka_api {
        int16_t key;
        int16_t min_version;
        int16_t max_version;
        int16_t flexible; /* first version with compact lengths and tagged fields */
        const char *name;
        const struct leat_kafka_schema *request;
        const struct leat_kafka_schema *response;
};
/* All APIs that are known, by key. */
extern const struct leat_kafka_api leat_kafka_apis[];
extern const size_t leat_kafka_api_count;
/* NULL when it is not one of ours. */
const struct leat_kafka_api *leat_kafka_api_find(int16_t key);
/* The protocol's name of any API of Kafka 4.3, also of those that we do not
 * know how to read ("JoinGroup"); NULL when there is none. */
const char *leat_kafka_api_name(int16_t key);

/* ---- headers ---------------------------------------------------------------- */
struct leat_kafka_header {
        int16_t api_key;
        int16_t api_version;
        int32_t correlation_id;
        struct leat_view client_id; /* data NULL: none */
};

/* ---- server side -------------------------------------------------------------- */
/* Reads key, version, correlation id and client id of a request (@frame is without its length). The version is not
 * checked. LEAT_EPROTO. */
int leat_kafka_header_parse(struct leat_view frame, struct leat_kafka_header *ret_header,
                            struct leat_error *err) LEAT_NODISCARD;
/* Reads the message of a request whose API and version are known to be supported. *ret_message is a struct
 * leat_kafka_<api>_request from @arena. LEAT_EPROTO when the bytes do not fit, LEAT_ETOOBIG when the structs would take
 * more than LEAT_KAFKA_DECODE_BYTES_MAX. */
int leat_kafka_request_decode(const struct leat_kafka_api *api, struct leat_view frame, struct leat_arena *arena,
                              void *ret_message, struct leat_error *err) LEAT_NODISCARD;
/* Appends a whole frame, length included, to @out. @message is a struct leat_kafka_<api>_response; its record chains
 * become empty. */
void leat_kafka_response_encode(const struct leat_kafka_api *api, int16_t version, int32_t correlation_id,
                                const void *message, struct leat_chain *out);

/* ---- client side --------------------------------------------------------------- */
/* Appends a whole frame, length included, to @out. @version is one of the API's. */
void leat_kafka_request_encode(const struct leat_kafka_api *api, int16_t version, int32_t correlation_id,
                               struct leat_view client_id, const void *message, struct leat_chain *out);
/* The correlation id of a response (@frame is without its length); -1 when the frame is too short. */
int32_t leat_kafka_response_correlation(struct leat_view frame);
/* Reads the answer to a request that was sent with @version (an ApiVersions answer at version 0, which refuses the
 * version, is understood too). As leat_kafka_request_decode. */
int leat_kafka_response_decode(const struct leat_kafka_api *api, int16_t version, struct leat_view frame,
                               struct leat_arena *arena, void *ret_message, struct leat_error *err) LEAT_NODISCARD;

#define LEAT_KAFKA_DECODE_BYTES_MAX (64u << 20)

/* Sets every field to its default (not always 0), arrays and strings to empty. */
void leat_kafka_init(const struct leat_kafka_schema *schema, void *message);
/* @count structs with defaults, from @arena. */
void *leat_kafka_array(const struct leat_kafka_schema *schema, struct leat_arena *arena, size_t count);
/* A struct with defaults on the stack / `count` of them from an arena: LEAT_KAFKA_NEW(arena, fetched_topic, n). */
#define LEAT_KAFKA_INIT(type, message) leat_kafka_init(&leat_kafka_##type##_schema, (message))
#define LEAT_KAFKA_NEW(arena, type, count) \
        ((struct leat_kafka_##type *)leat_kafka_array(&leat_kafka_##type##_schema, (arena), (count)))

/* ---- error codes ----------------------------------------------------------------- */
/* X(name, code, retriable, text): the codes of Kafka that Leat gives or understands. */
#define LEAT_KAFKA_ERRORS(X) \
        X(UNKNOWN_SERVER_ERROR, -1, false, "The server experienced an unexpected error when processing the request.") \
        X(NONE, 0, false, "") \
        X(OFFSET_OUT_OF_RANGE, 1, false, \
          "The requested offset is not within the range of offsets maintained by the server.") \
        X(CORRUPT_MESSAGE, 2, true, \
          "This message has failed its CRC checksum, exceeds the valid size, has a null key for a compacted topic, " \
          "or is otherwise corrupt.") \
        X(UNKNOWN_TOPIC_OR_PARTITION, 3, true, "This server does not host this topic-partition.") \
        X(INVALID_FETCH_SIZE, 4, false, "The requested fetch size is invalid.") \
        X(LEADER_NOT_AVAILABLE, 5, true, \
          "There is no leader for this topic-partition as we are in the middle of a leadership election.") \
        X(NOT_LEADER_OR_FOLLOWER, 6, true, \
          "For requests intended only for the leader, this error indicates that the broker is not the current " \
          "leader.") \
        X(REQUEST_TIMED_OUT, 7, true, "The request timed out.") \
        X(MESSAGE_TOO_LARGE, 10, false, \
          "The request included a message larger than the max message size the server will accept.") \
        X(NETWORK_EXCEPTION, 13, true, "The server disconnected before a response was received.") \
        X(COORDINATOR_LOAD_IN_PROGRESS, 14, true, "The coordinator is loading and hence can't process requests.") \
        X(COORDINATOR_NOT_AVAILABLE, 15, true, "The coordinator is not available.") \
        X(NOT_COORDINATOR, 16, true, "This is not the correct coordinator.") \
        X(INVALID_TOPIC_EXCEPTION, 17, false, "The request attempted to perform an operation on an invalid topic.") \
        X(RECORD_LIST_TOO_LARGE, 18, false, \
          "The request included message batch larger than the configured segment size on the server.") \
        X(NOT_ENOUGH_REPLICAS, 19, true, \
          "Messages are rejected since there are fewer in-sync replicas than required.") \
        X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, 20, true, \
          "Messages are written to the log, but to fewer in-sync replicas than required.") \
        X(INVALID_REQUIRED_ACKS, 21, false, "Produce request specified an invalid value for required acks.") \
        X(TOPIC_AUTHORIZATION_FAILED, 29, false, "Topic authorization failed.") \
        X(CLUSTER_AUTHORIZATION_FAILED, 31, false, "Cluster authorization failed.") \
        X(INVALID_TIMESTAMP, 32, false, "The timestamp of the message is out of acceptable range.") \
        X(UNSUPPORTED_VERSION, 35, false, "The version of API is not supported.") \
        X(TOPIC_ALREADY_EXISTS, 36, false, "Topic with this name already exists.") \
        X(INVALID_PARTITIONS, 37, false, "Number of partitions is below 1.") \
        X(INVALID_REPLICATION_FACTOR, 38, false, \
          "Replication factor is below 1 or larger than the number of available brokers.") \
        X(INVALID_REPLICA_ASSIGNMENT, 39, false, "Replica assignment is invalid.") \
        X(INVALID_CONFIG, 40, false, "Configuration is invalid.") \
        X(NOT_CONTROLLER, 41, true, "This is not the correct controller for this cluster.") \
        X(INVALID_REQUEST, 42, false, \
          "This most likely occurs because of a request being malformed by the client library or the message was " \
          "sent to an incompatible broker. See the broker logs for more details.") \
        X(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43, false, \
          "The message format version on the broker does not support the request.") \
        X(POLICY_VIOLATION, 44, false, "Request parameters do not satisfy the configured policy.") \
        X(OUT_OF_ORDER_SEQUENCE_NUMBER, 45, false, "The broker received an out of order sequence number.") \
        X(DUPLICATE_SEQUENCE_NUMBER, 46, false, "The broker received a duplicate sequence number.") \
        X(INVALID_PRODUCER_EPOCH, 47, false, "Producer attempted to produce with an old epoch.") \
        X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53, false, "The transactional id authorization failed.") \
        X(KAFKA_STORAGE_ERROR, 56, true, "Disk error when trying to access log file on the disk.") \
        X(UNKNOWN_PRODUCER_ID, 59, false, \
          "This exception is raised by the broker if it could not locate the producer metadata associated with the " \
          "producerId in question.") \
        X(REASSIGNMENT_IN_PROGRESS, 60, false, "A partition reassignment is in progress.") \
        X(FETCH_SESSION_ID_NOT_FOUND, 70, true, "The fetch session ID was not found.") \
        X(INVALID_FETCH_SESSION_EPOCH, 71, true, "The fetch session epoch is invalid.") \
        X(FENCED_LEADER_EPOCH, 74, true, "The leader epoch in the request is older than the epoch on the broker.") \
        X(UNKNOWN_LEADER_EPOCH, 75, true, "The leader epoch in the request is newer than the epoch on the broker.") \
        X(UNSUPPORTED_COMPRESSION_TYPE, 76, false, \
          "The requesting client does not support the compression type of given partition.") \
        X(INVALID_RECORD, 87, false, "This record has failed the validation on the broker and hence was rejected.") \
        X(THROTTLING_QUOTA_EXCEEDED, 89, true, "The throttling quota has been exceeded.") \
        X(PRODUCER_FENCED, 90, false, \
          "There is a newer producer with the same transactionalId which fences the current one.") \
        X(UNKNOWN_TOPIC_ID, 100, true, "This server does not host this topic ID.") \
        X(INCONSISTENT_TOPIC_ID, 103, true, "The log's topic ID did not match the topic ID in the request.") \
        X(FETCH_SESSION_TOPIC_ID_ERROR, 106, true, "The fetch session encountered inconsistent topic ID usage.") \
        X(MISMATCHED_ENDPOINT_TYPE, 114, false, "The request was sent to an endpoint of the wrong type.") \
        X(UNSUPPORTED_ENDPOINT_TYPE, 115, false, "This endpoint type is not supported yet.")

enum leat_kafka_error {
#define X(name, code, retriable, text) LEAT_KAFKA_E_##name = (code),
        LEAT_KAFKA_ERRORS(X)
#undef X
};
/* "OFFSET_OUT_OF_RANGE"; "ERROR" for a code that is not in the table. */
const char *leat_kafka_error_name(int code);
/* The text of Kafka's own exception; "" for 0 and unknown codes. */
const char *leat_kafka_error_text(int code);
bool leat_kafka_error_retriable(int code);

#endif
