import { kafkaClient } from "../../sink/kafka/client.ts";
import { eventLogContract } from "./event-log.contract.ts";

eventLogContract("@platformatic/kafka", () => kafkaClient("platformatic"), { unreadableCodecs: [] });
