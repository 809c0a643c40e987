import { kafkaClient } from "../../sink/kafka/client.ts";
import { eventLogContract } from "./event-log.contract.ts";

eventLogContract("kafkajs", () => kafkaClient("kafkajs"), { unreadableCodecs: ["snappy", "lz4"] });
