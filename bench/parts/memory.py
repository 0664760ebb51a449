# SPDX-License-Identifier: Apache-2.0
"""At rest: memory and processor when nothing flows; beside it an empty Apache Kafka with a Flink session cluster.

Memory is the sum of PSS of all roles, shared pages counted by their share. Start to ready is taken from outside, an empty
data directory: Leat until its doors answer, the peers until the broker says so, the TaskManager is known to the JobManager
and the SQL gateway answers; the two are started at the same time. Kafka's storage is formatted before.
"""
import time

import lib
import peers

IDLE_S = 4


def text(memory):
    return " ".join(f"{role} {mb:.1f}" for role, mb in memory.items() if mb) + f" = {sum(memory.values()):.1f} MiB"


def idle_cpu(leat):
    before = leat.cpu()
    time.sleep(IDLE_S)
    return 100 * sum(value - before.get(role, 0) for role, value in leat.cpu().items()) / IDLE_S


def leat_run(report):
    row = {}
    leat = lib.Leat()
    begun = time.monotonic()
    with leat:
        row["start"] = 1000 * (time.monotonic() - begun)
        time.sleep(1)
        fresh = leat.pss()
        row["fresh"], row["broker"], row["cpu fresh"] = sum(fresh.values()), fresh["broker"], idle_cpu(leat)
        leat.sql("SELECT 1")
        row["queried"] = sum(leat.pss().values())
        lib.packscan(leat, dashboards=True)
        leat.wait_caught_up()
        time.sleep(1)
        views = leat.pss()
        row["views"], row["cpu views"] = sum(views.values()), idle_cpu(leat)
        report.line(f"Leat ready in {row['start']:.0f} ms; fresh {text(fresh)}; with PackScan's views {text(views)}")
    return row


def peers_run(report):
    """Both started at the same time; ready when both are."""
    kafka, flink = peers.Kafka(), peers.Flink()
    try:
        kafka.launch()
        flink.launch()
        peers.wait(kafka, flink)
        time.sleep(3)
        memory = {**kafka.pss(), **flink.pss()}
        before = kafka.cpu() + flink.cpu()
        time.sleep(IDLE_S)
        cpu = 100 * (kafka.cpu() + flink.cpu() - before) / IDLE_S
        report.line(f"Kafka ready in {kafka.ready_ms:.0f} ms, Flink in {flink.ready_ms:.0f} ms; {text(memory)}")
        return {"start": max(kafka.ready_ms, flink.ready_ms), "fresh": sum(memory.values()), "broker": memory["kafka"], "cpu": cpu}
    finally:
        kafka.__exit__()
        flink.__exit__()


def measure(report):
    ours = [leat_run(report) for _ in range(report.runs)]
    theirs, without = report.beside("memory", lambda: [peers_run(report) for _ in range(report.runs)])
    name = without or "Kafka + Flink"

    def figure(what, unit, key, target="", peer=None, peer_name=name):
        report.figure(what, unit, [row[key] for row in ours], target=target, better="less",
                      peer=[row[peer] for row in theirs] if theirs and peer else None, peer_name=peer_name if peer else "–")

    figure("start to ready, empty", "ms", "start", peer="start")
    figure("memory fresh, all roles", "MiB", "fresh", target="≤ 64", peer="fresh")
    figure("memory fresh, broker", "MiB", "broker", target="≤ 12", peer="broker", peer_name=without or "Kafka")
    figure("memory after one query", "MiB", "queried")
    figure("memory with PackScan's views and dashboards", "MiB", "views")
    figure("processor when nothing flows, fresh", "% of a core", "cpu fresh", peer="cpu")
    figure("processor when nothing flows, PackScan's views", "% of a core", "cpu views")
