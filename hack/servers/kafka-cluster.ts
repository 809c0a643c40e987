import { join } from "node:path";
import { type Kafka, newClusterId, startKafka } from "./kafka.ts";
import { freePorts } from "./ports.ts";

/** Three brokers on loopback, all of them controllers too: one may be lost. Topics get `min.insync.replicas` 2. */
export async function startKafkaCluster(dir: string): Promise<readonly Kafka[]> {
  const controllerPorts = await freePorts(3);
  const clusterId = newClusterId();
  return Promise.all(
    controllerPorts.map((controllerPort, index) =>
      startKafka({
        dir: join(dir, `broker-${index + 1}`),
        node: { id: index + 1, controllerPort, controllerPorts, clusterId },
        settings: {
          "min.insync.replicas": "2",
          "default.replication.factor": "3",
          // A follower that fell out is noticed, and one that came back counts again, within seconds.
          "replica.lag.time.max.ms": "3000",
        },
      }),
    ),
  );
}
