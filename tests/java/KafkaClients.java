// SPDX-License-Identifier: Apache-2.0
// Producer, consumer (by assignment) and admin client of Apache Kafka, with their defaults.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class KafkaClients {
    static String servers;

    static void check(boolean right, String what) {
        if (!right)
            throw new AssertionError(what);
    }

    static void roundTrip(String codec) throws Exception {
        String topic = "java-" + codec;
        Map<String, Object> config = Map.of("bootstrap.servers", servers, "compression.type", codec);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int n = 0; n < 1000; n++)
                sent.add(producer.send(new ProducerRecord<>(topic, "k" + n, "value " + n)));
            producer.flush();
        }
        for (int n = 0; n < 1000; n++)
            check(sent.get(n).get().offset() == n, codec + ": record " + n + " at offset " + sent.get(n).get().offset());
        int read = 0;
        try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", servers),
                new StringDeserializer(), new StringDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = System.nanoTime() + 30_000_000_000L;
            while (read < 1000 && System.nanoTime() < end)
                for (var record : consumer.poll(Duration.ofMillis(500)))
                    check(record.value().equals("value " + read++), codec + ": got " + record.value());
            check(consumer.endOffsets(List.of(partition)).get(partition) == 1000, "end offset");
        }
        System.out.println(codec + ": 1000 produced, " + read + " read in order");
    }

    static void refused(KafkaFuture<?> future, Class<?> error) throws Exception {
        try {
            future.get();
            check(false, "expected " + error);
        } catch (ExecutionException e) {
            check(error.isInstance(e.getCause()), e.getCause() + " instead of " + error);
        }
    }

    static void admin() throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", servers))) {
            String topic = "java-admin";
            admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "5000")))).all().get();
            refused(admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all(), TopicExistsException.class);
            refused(admin.createTopics(List.of(new NewTopic("rf", 3, (short) 3))).all(), InvalidReplicationFactorException.class);
            check(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 3, "partitions");
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            check(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 5, "more");
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var set = new AlterConfigOp(new ConfigEntry("retention.ms", "7000"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.<AlterConfigOp>of(set))).all().get();
            check(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value().equals("7000"), "set");
            var bad = new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SET);
            refused(admin.incrementalAlterConfigs(Map.of(resource, List.<AlterConfigOp>of(bad))).all(), InvalidConfigurationException.class);
            var partition = new TopicPartition("java-none", 0);
            check(admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset() == 1000, "latest");
            check(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all().get().get(partition).offset() >= 0, "max");
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(10))).all().get();
            check(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset() == 10, "earliest");
            check(admin.describeCluster().nodes().get().size() == 1, "nodes");
            check(admin.listTopics().names().get().contains(topic), "list");
            admin.deleteTopics(List.of(topic)).all().get();
            refused(admin.describeTopics(List.of(topic)).allTopicNames(), UnknownTopicOrPartitionException.class);
        }
        System.out.println("admin: ok");
    }

    public static void main(String[] args) throws Exception {
        servers = args[0];
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            roundTrip(codec);
        admin();
    }
}
