import { join } from "node:path";
import { startKafka } from "../../hack/servers/kafka.ts";
import { startKafkaCluster } from "../../hack/servers/kafka-cluster.ts";
import { freePorts } from "../../hack/servers/ports.ts";
import type { LogServers } from "../stream/world.ts";
import { startKafkaProxy } from "./kafka-proxy.ts";
import { SmallDisk, smallDiskUnavailable } from "./small-disk.ts";

export interface OwnLogServers extends LogServers {
  remove(): Promise<void>;
}

const BROKER_DISK_MB = 1_024;

/** One broker behind a proxy, on a small disk where the machine has such, that may be stopped and filled. */
export async function startOneBroker(dir: string): Promise<OwnLogServers> {
  const [proxiedPort = 0] = await freePorts(1);
  const disk = smallDiskUnavailable() === undefined ? new SmallDisk(BROKER_DISK_MB) : undefined;
  const settings = disk === undefined ? {} : { "log.dirs": join(disk.path, "data") };
  const broker = await startKafka({ dir: join(dir, "kafka"), proxiedPort, settings });
  if (broker.behindProxy === undefined) throw new Error("The broker has no proxied listener");
  const proxy = await startKafkaProxy(broker.behindProxy, proxiedPort);
  return {
    bootstrapServers: broker.bootstrapServers,
    sinkBootstrapServers: [`127.0.0.1:${proxiedPort}`],
    brokers: [broker],
    proxy,
    disk,
    async remove() {
      await proxy.close();
      await broker.remove();
      disk?.remove();
    },
  };
}

/** Three brokers, of which any may be stopped. */
export async function startThreeBrokers(dir: string): Promise<OwnLogServers> {
  const brokers = await startKafkaCluster(dir);
  const addresses = brokers.map(({ bootstrapServers }) => bootstrapServers);
  return {
    bootstrapServers: addresses.join(","),
    sinkBootstrapServers: addresses,
    brokers,
    async remove() {
      await Promise.all(brokers.map((broker) => broker.remove()));
    },
  };
}
