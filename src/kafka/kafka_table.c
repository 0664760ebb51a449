/* SPDX-License-Identifier: Apache-2.0 */
/* leat/kafka: what is known of APIs and error codes by number. */
#include "kafka_int.h"

const struct leat_kafka_api *leat_kafka_api_find(int16_t key)
{
        for (size_t i = 0; i < leat_kafka_api_count; i++) {
                if (leat_kafka_apis[i].key == key)
                        return &leat_kafka_apis[i];
        }
        return NULL;
}

/* Names by key, as of Kafka 4.3; NULL where the key is for brokers only or retired. */
static const char *const api_names[] = {
        [0] = "Produce",
        [1] = "Fetch",
        [2] = "ListOffsets",
        [3] = "Metadata",
        [8] = "OffsetCommit",
        [9] = "OffsetFetch",
        [10] = "FindCoordinator",
        [11] = "JoinGroup",
        [12] = "Heartbeat",
        [13] = "LeaveGroup",
        [14] = "SyncGroup",
        [15] = "DescribeGroups",
        [16] = "ListGroups",
        [17] = "SaslHandshake",
        [18] = "ApiVersions",
        [19] = "CreateTopics",
        [20] = "DeleteTopics",
        [21] = "DeleteRecords",
        [22] = "InitProducerId",
        [23] = "OffsetForLeaderEpoch",
        [24] = "AddPartitionsToTxn",
        [25] = "AddOffsetsToTxn",
        [26] = "EndTxn",
        [27] = "WriteTxnMarkers",
        [28] = "TxnOffsetCommit",
        [29] = "DescribeAcls",
        [30] = "CreateAcls",
        [31] = "DeleteAcls",
        [32] = "DescribeConfigs",
        [33] = "AlterConfigs",
        [34] = "AlterReplicaLogDirs",
        [35] = "DescribeLogDirs",
        [36] = "SaslAuthenticate",
        [37] = "CreatePartitions",
        [38] = "CreateDelegationToken",
        [39] = "RenewDelegationToken",
        [40] = "ExpireDelegationToken",
        [41] = "DescribeDelegationToken",
        [42] = "DeleteGroups",
        [43] = "ElectLeaders",
        [44] = "IncrementalAlterConfigs",
        [45] = "AlterPartitionReassignments",
        [46] = "ListPartitionReassignments",
        [47] = "OffsetDelete",
        [48] = "DescribeClientQuotas",
        [49] = "AlterClientQuotas",
        [50] = "DescribeUserScramCredentials",
        [51] = "AlterUserScramCredentials",
        [55] = "DescribeQuorum",
        [57] = "UpdateFeatures",
        [60] = "DescribeCluster",
        [61] = "DescribeProducers",
        [64] = "UnregisterBroker",
        [65] = "DescribeTransactions",
        [66] = "ListTransactions",
        [68] = "ConsumerGroupHeartbeat",
        [69] = "ConsumerGroupDescribe",
        [71] = "GetTelemetrySubscriptions",
        [72] = "PushTelemetry",
        [74] = "ListConfigResources",
        [75] = "DescribeTopicPartitions",
        [76] = "ShareGroupHeartbeat",
        [77] = "ShareGroupDescribe",
        [78] = "ShareFetch",
        [79] = "ShareAcknowledge",
        [80] = "AddRaftVoter",
        [81] = "RemoveRaftVoter",
        [88] = "StreamsGroupHeartbeat",
        [89] = "StreamsGroupDescribe",
        [90] = "DescribeShareGroupOffsets",
        [91] = "AlterShareGroupOffsets",
        [92] = "DeleteShareGroupOffsets",
};

const char *leat_kafka_api_name(int16_t key)
{
        if (key < 0 || (size_t)key >= LEAT_ARRAY_LEN(api_names))
                return NULL;
        return api_names[key];
}

static const struct {
        int code;
        bool retriable;
        const char *name;
        const char *text;
} errors[] = {
#define X(error_name, error_code, is_retriable, error_text) {error_code, is_retriable, #error_name, error_text},
        LEAT_KAFKA_ERRORS(X)
#undef X
};

const char *leat_kafka_error_name(int code)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(errors); i++) {
                if (errors[i].code == code)
                        return errors[i].name;
        }
        return "ERROR";
}

const char *leat_kafka_error_text(int code)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(errors); i++) {
                if (errors[i].code == code)
                        return errors[i].text;
        }
        return "";
}

bool leat_kafka_error_retriable(int code)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(errors); i++) {
                if (errors[i].code == code)
                        return errors[i].retriable;
        }
        return false;
}
