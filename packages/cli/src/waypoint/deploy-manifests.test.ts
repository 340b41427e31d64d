import { readdirSync, readFileSync } from "node:fs";
import { CLUSTER_RUNTIME, type KubeObject, parseKubeFile, renderWaypoint, waypointClasses } from "@ambit/shared/kube";
import { programPath } from "@ambit/shared/lab-client";
import { describe, expect, it } from "@jest/globals";
import { waypointGateway } from "./gateway-object.ts";

const folder = programPath("deploy/waypoint");
const read = (name: string) => parseKubeFile(name, readFileSync(`${folder}/${name}`, "utf8"));
const objectsOf = (name: string): readonly KubeObject[] => read(name).objects.map(({ object }) => object);

describe("deploy/waypoint", () => {
  it("has only objects that the mesh reads without complaint", () => {
    const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
    expect(files.length).toBeGreaterThan(2);
    expect(files.flatMap((name) => read(name).problems)).toEqual([]);
  });

  it("is what is made of the Gateway it contains", () => {
    const gateway = waypointGateway({ namespace: "shop", name: "waypoint", replicas: 2 });
    const made = renderWaypoint(gateway, CLUSTER_RUNTIME).objects.map((object) => {
      const { ownerReferences: _owners, ...metadata } = object.metadata;
      return { ...object, metadata };
    });
    expect(objectsOf("waypoint.yaml")).toEqual(JSON.parse(JSON.stringify([gateway, ...made])));
  });

  it("names the class as the lab does", () => {
    expect(objectsOf("gateway-class.yaml")).toEqual(
      waypointClasses().filter(({ metadata }) => metadata.name === "ambit-waypoint"),
    );
  });
});
