"""Reads the OTLP JSON of profiles, as the collector's file exporter writes it."""

import collections


def stacks(data):
    """{("main", "work"): total, …}, root first, over all profiles of one JSON object."""
    totals = collections.Counter()
    for names, _, value in samples(data):
        totals[names] += value
    return dict(totals)


def samples(data):
    """(names, root first, (trace id, span id) or None, value) of every sample."""
    dictionary = data["dictionary"]
    links = dictionary.get("linkTable") or [{}]
    for resource in data["resourceProfiles"]:
        for scope in resource["scopeProfiles"]:
            for profile in scope["profiles"]:
                for sample in profile["samples"]:
                    names = stack_names(dictionary, dictionary["stringTable"],
                                        sample.get("stackIndex", 0))
                    link = links[sample.get("linkIndex", 0)]
                    ids = link.get("traceId"), link.get("spanId")
                    yield names, ids if all(ids) else None, int(sample["values"][0])


def stack_names(dictionary, strings, index):
    names = []
    for at in dictionary["stackTable"][index].get("locationIndices", []):
        for line in dictionary["locationTable"][at].get("lines", []):
            function = dictionary["functionTable"][line.get("functionIndex", 0)]
            names.append(strings[function.get("nameStrindex", 0)])
    return tuple(reversed(names))


def resource_attributes(data):
    """Of the first resource: {key: text}. The collector turns texts into references."""
    strings = data["dictionary"]["stringTable"]
    attributes = {}
    for attribute in data["resourceProfiles"][0]["resource"]["attributes"]:
        key = attribute.get("key") or strings[attribute["keyStrindex"]]
        value = attribute["value"]
        if "stringValueStrindex" in value:
            attributes[key] = strings[value["stringValueStrindex"]]
        else:
            attributes[key] = next(iter(value.values()))
    return attributes


def value_type(data):
    strings = data["dictionary"]["stringTable"]
    kind = data["resourceProfiles"][0]["scopeProfiles"][0]["profiles"][0]["sampleType"]
    return strings[kind.get("typeStrindex", 0)], strings[kind.get("unitStrindex", 0)]
