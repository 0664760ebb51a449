# SPDX-License-Identifier: Apache-2.0
"""The peers that Leat is measured beside: an Apache Kafka broker, a Flink session cluster with its SQL gateway.

Both come from build/deps (`tools/setup bench`) and run as their own documentation starts them: one machine, one node. Heaps
are kept small enough for two cores and a few gigabytes. Each is started for the figures that need it and ended after; they
never run together with Leat.
"""
import base64
import glob
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import uuid

import lib

START_S = 90
LOG4J = """Configuration:
  status: error
  Appenders:
    Console:
      name: out
      target: SYSTEM_OUT
      PatternLayout: {pattern: "%d %p %c %m%n"}
  Loggers:
    Root:
      level: info
      AppenderRef: {ref: out}
"""


def jars(peer):
    """The class path of a peer; Skipped when it was not fetched."""
    folder = f"{lib.ROOT}/build/deps/{peer}"
    if os.path.exists(f"{folder}.why"):
        with open(f"{folder}.why", encoding="utf-8", errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()] or ["for an unknown reason"]
        why = next((line for line in lines if "ERROR" in line or "FAILED" in line), lines[-1])
        raise lib.Skipped(f"Apache {peer.capitalize()} could not be fetched: {re.sub(r'https?://[^ ]*', 'the registry', why)[:300]}")
    if not glob.glob(f"{folder}/*.jar"):
        raise lib.Skipped(f"Apache {peer.capitalize()} was not fetched: run tools/setup bench")
    if shutil.which("java") is None:
        raise lib.Skipped(f"Apache {peer.capitalize()}: there is no java; run: tools/setup bench")
    return f"{folder}/*"


class Peer:
    """Some JVMs with a folder of their own."""

    def __init__(self, peer):
        self.classpath = jars(peer)
        self.data = lib.data_dir()
        self.processes = {}
        self.begun = self.ready_ms = None
        with open(f"{self.data}/log4j2.yaml", "w", encoding="ascii") as f:
            f.write(LOG4J)

    def java(self, name, options, main, *args, env=None):
        command = ["java", *options, f"-Dlog4j2.configurationFile={self.data}/log4j2.yaml", "-cp", self.classpath, main, *args]
        self.processes[name] = lib.spawn(command, f"{self.data}/{name}.log", env=env)

    def log(self, name):
        with open(f"{self.data}/{name}.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def start(self):
        self.launch()
        wait(self)
        return self

    def check(self):
        """A JVM that ended is told with its last words."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise lib.BenchError(f"{name} ended: {self.log(name)[-2000:]}")

    def cpu(self, name=None):
        names = [name] if name else list(self.processes)
        return sum(lib.process_cpu(self.processes[n].pid) for n in names)

    def pss(self):
        return {name: lib.process_pss(process.pid) / 1024 for name, process in self.processes.items()}

    def stop(self):
        for process in self.processes.values():
            lib.end(process)
        self.processes = {}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error):
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)


def wait(*peers):
    """Until all that were launched are ready; each one's ready_ms counts from its launch."""
    begun = time.monotonic()
    while any(peer.ready_ms is None for peer in peers):
        for peer in peers:
            peer.check()
            if peer.ready_ms is None and peer.is_ready():
                peer.ready_ms = 1000 * (time.monotonic() - peer.begun)
        if time.monotonic() - begun > START_S:
            raise lib.BenchError(f"the peer is not ready after {START_S} s: {[type(peer).__name__ for peer in peers]}")
        time.sleep(0.01)


class Kafka(Peer):
    """One broker that is its own controller; @flush: log.flush.interval.messages=1, so that what is acknowledged is on the disk."""

    def __init__(self, flush=False):
        super().__init__("kafka")
        self.flush = flush
        self.port, self.controller = lib.free_port(), lib.free_port()
        self.address = f"127.0.0.1:{self.port}"
        with open(f"{self.data}/server.properties", "w", encoding="ascii") as f:
            f.write(f"""process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.controller}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{self.controller}
log.dirs={self.data}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
""" + ("log.flush.interval.messages=1\n" if flush else ""))

    def launch(self):
        """Formats the storage, which does not count, and starts."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        lib.run(["java", f"-Dlog4j2.configurationFile={self.data}/log4j2.yaml", "-cp", self.classpath, "kafka.tools.StorageTool",
                 "format", "--standalone", "-t", cluster, "-c", f"{self.data}/server.properties"])
        self.begun = time.monotonic()
        self.java("kafka", ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"], "kafka.Kafka", f"{self.data}/server.properties")

    def is_ready(self):
        return "Kafka Server started" in self.log("kafka")

    @property
    def pid(self):
        return self.processes["kafka"].pid


OPENS = ("java.lang", "java.util", "java.util.concurrent", "java.util.concurrent.locks", "java.util.concurrent.atomic",
         "java.lang.invoke", "java.lang.reflect", "java.math", "java.net", "java.nio", "java.io", "java.text", "java.time",
         "sun.nio.ch")
EXPORTS = ("sun.net.util", "sun.management", "sun.rmi.registry")


class Flink(Peer):
    """A session cluster: JobManager, one TaskManager with a slot a core, SQL gateway."""

    def __init__(self):
        super().__init__("flink")
        self.rest, self.gateway, self.rpc = lib.free_port(), lib.free_port(), lib.free_port()
        self.session = None
        cores = os.cpu_count()
        os.makedirs(f"{self.data}/conf")
        os.makedirs(f"{self.data}/tmp")
        with open(f"{self.data}/conf/config.yaml", "w", encoding="ascii") as f:
            f.write(f"""jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {self.rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {self.rest}
sql-gateway.endpoint.rest.address: 127.0.0.1
sql-gateway.endpoint.rest.port: {self.gateway}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.cpu.cores: {cores}.0
taskmanager.numberOfTaskSlots: {cores}
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.task.heap.size: 2432m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 128m
taskmanager.memory.network.min: 128m
taskmanager.memory.network.max: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
parallelism.default: {cores}
pipeline.object-reuse: true
state.backend.type: hashmap
table.exec.mini-batch.enabled: true
table.exec.mini-batch.allow-latency: 2 s
table.exec.mini-batch.size: 50000
io.tmp.dirs: {self.data}/tmp
""")

    def launch(self):
        options = ["-XX:+UseParallelGC", *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS),
                   "--add-exports=java.base/sun.net.util=ALL-UNNAMED", "--add-exports=java.management/sun.management=ALL-UNNAMED",
                   "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED"]
        conf = ["--configDir", f"{self.data}/conf"]
        env = {"FLINK_CONF_DIR": f"{self.data}/conf"}
        runtime = "org.apache.flink.runtime"
        self.begun = time.monotonic()
        self.java("jobmanager", ["-Xmx512m", *options], f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint", *conf, env=env)
        self.java("taskmanager", ["-Xms2560m", "-Xmx2560m", "-XX:MaxDirectMemorySize=256m", *options],
                  f"{runtime}.taskexecutor.TaskManagerRunner", *conf, env=env)
        self.java("gateway", ["-Xmx512m", *options], "org.apache.flink.table.gateway.SqlGateway", env=env)

    def is_ready(self):
        try:
            return self.call(self.rest, "overview")["taskmanagers"] == 1 and self.call(self.gateway, "v1/info")
        except (OSError, ValueError, KeyError, lib.BenchError):  # it answers before it can do anything
            return False

    @staticmethod
    def call(port, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", None if body is None else json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise lib.BenchError(f"Flink: {path}: {error.read().decode()[:3000]}") from None

    def sql(self, text, timeout_s=300):
        """Rows of a statement, when it is done; of INSERT the job's number."""
        if self.session is None:
            self.session = self.call(self.gateway, "v1/sessions", {})["sessionHandle"]
        here = f"v1/sessions/{self.session}"
        operation = self.call(self.gateway, f"{here}/statements", {"statement": text})["operationHandle"]
        path, rows, begun = f"{here}/operations/{operation}/result/0?rowFormat=JSON", [], time.monotonic()
        while time.monotonic() - begun < timeout_s:
            got = self.call(self.gateway, path.lstrip("/"))
            if got["resultType"] == "NOT_READY":
                time.sleep(0.02)
                continue
            rows += [row["fields"] for row in got["results"]["data"]]
            if got["resultType"] == "EOS":
                return rows
            path = got["nextResultUri"]
        raise lib.BenchError(f"Flink does not finish: {text[:80]}")

    def insert(self, text, timeout_s=300):
        """Runs an INSERT to its end; returns seconds."""
        begun = time.monotonic()
        job = self.sql(text)[0][0]
        if not re.fullmatch(r"[0-9a-f]{32}", str(job)):
            raise lib.BenchError(f"Flink gave no job: {job}")
        while time.monotonic() - begun < timeout_s:
            state = self.call(self.rest, f"jobs/{job}")["state"]
            if state == "FINISHED":
                return time.monotonic() - begun
            if state in ("FAILED", "CANCELED"):
                why = self.call(self.rest, f"jobs/{job}/exceptions")
                raise lib.BenchError(f"Flink's job {state}: {json.dumps(why)[:1500]}")
            time.sleep(0.05)
        raise lib.BenchError("Flink's job does not finish")
