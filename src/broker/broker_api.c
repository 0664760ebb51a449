/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: which APIs are served, and ApiVersions.
 *
 * What is not served (consumer groups, transactions, access control) is not
 * advertised, so that clients do not ask; who asks nevertheless is named in the
 * log and disconnected, as by Apache Kafka.
 */
#include <stdio.h>

#include "broker_int.h"

#define SMALL_FRAME_MAX (8u << 20) /* of requests that carry no records */

typedef void handler_fn(struct broker_request *req);

static const struct {
        int16_t key;
        handler_fn *handler;
} served[] = {
#define X(key, handler) {key, handler},
        BROKER_APIS(X)
#undef X
};

static handler_fn *handler_of(int16_t key)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(served); i++) {
                if (served[i].key == key)
                        return served[i].handler;
        }
        return NULL;
}

const struct leat_kafka_api *leat_broker_api_served(int16_t key)
{
        return handler_of(key) != NULL ? leat_kafka_api_find(key) : NULL;
}

static void versions_fill(struct broker_request *req, struct leat_kafka_api_versions_response *res)
{
        LEAT_KAFKA_INIT(api_versions_response, res);
        res->api_keys = LEAT_KAFKA_NEW(req->arena, api_version, LEAT_ARRAY_LEN(served));
        res->api_keys_count = (int32_t)LEAT_ARRAY_LEN(served);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(served); i++) {
                const struct leat_kafka_api *api = leat_kafka_api_find(served[i].key);
                res->api_keys[i].api_key = api->key;
                res->api_keys[i].min_version = api->min_version;
                res->api_keys[i].max_version = api->max_version;
        }
}

void leat_broker_api_versions(struct broker_request *req)
{
        const struct leat_kafka_api_versions_request *msg = req->message;
        struct leat_kafka_api_versions_response res;
        versions_fill(req, &res);
        /* Names are of letters, digits, dots and hyphens (KIP-511); version 3 demands them. */
        if (req->header.api_version >= 3 &&
            (msg->client_software_name.len == 0 || msg->client_software_version.len == 0))
                res.error_code = LEAT_KAFKA_E_INVALID_REQUEST;
        leat_broker_respond(req, &res);
}

/* A newer client learns at version 0 what is spoken here. */
static void versions_refuse(struct broker_request *req)
{
        struct leat_kafka_api_versions_response res;
        versions_fill(req, &res);
        res.error_code = LEAT_KAFKA_E_UNSUPPORTED_VERSION;
        leat_broker_respond_version(req, 0, &res);
}

static bool wants_address(int16_t key)
{
        return key == LEAT_KAFKA_METADATA || key == LEAT_KAFKA_DESCRIBE_CLUSTER;
}

void leat_broker_dispatch(struct broker_request *req)
{
        struct leat_error err;
        char why[160];
        int16_t version = req->header.api_version;
        handler_fn *handler = handler_of(req->header.api_key);
        req->api = handler != NULL ? leat_kafka_api_find(req->header.api_key) : NULL;
        if (req->api == NULL) {
                const char *name = leat_kafka_api_name(req->header.api_key);
                if (name != NULL)
                        snprintf(why, sizeof(why), "%s is not supported", name);
                else if (req->conn->greeted)
                        snprintf(why, sizeof(why), "API number %d is not known", req->header.api_key);
                else
                        snprintf(why, sizeof(why), "no Kafka client");
                leat_broker_respond_close(req, why);
                return;
        }
        if (version < req->api->min_version || version > req->api->max_version) {
                if (req->header.api_key == LEAT_KAFKA_API_VERSIONS) {
                        versions_refuse(req);
                        return;
                }
                snprintf(why, sizeof(why), "%s version %d is not supported, only %d to %d", req->api->name, version,
                         req->api->min_version, req->api->max_version);
                leat_broker_respond_close(req, why);
                return;
        }
        if (req->frame.len > SMALL_FRAME_MAX && req->header.api_key != LEAT_KAFKA_PRODUCE) {
                snprintf(why, sizeof(why), "%s of %zu bytes is larger than any that makes sense", req->api->name,
                         req->frame.len);
                leat_broker_respond_close(req, why);
                return;
        }
        req->conn->greeted = true;
        req->message = leat_kafka_array(req->api->request, req->arena, 1);
        if (leat_kafka_request_decode(req->api, req->frame, req->arena, req->message, &err) != 0) {
                leat_broker_respond_close(req, err.message);
                return;
        }
        if (wants_address(req->header.api_key))
                leat_net_conn_local(req->conn->net, req->local);
        handler(req);
}
