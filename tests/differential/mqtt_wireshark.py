"""What tshark reads in packets of MQTT, in the names of tests/tools/mqtt_tool.c. The packets are put into a capture that is
written here: each conversation has a connection of its own, each packet a segment."""
import collections
import struct
import subprocess
import tempfile

FIELDS = ["tcp.srcport", "tcp.dstport", "tcp.seq_raw", "mqtt.msgtype", "mqtt.ver", "mqtt.conflag.cleansess", "mqtt.kalive", "mqtt.clientid",
          "mqtt.username", "mqtt.passwd", "mqtt.willtopic", "mqtt.willmsg", "mqtt.conflag.qos", "mqtt.conflag.retain", "mqtt.conflag.willflag",
          "mqtt.dupflag", "mqtt.qos", "mqtt.retain", "mqtt.topic", "mqtt.msgid", "mqtt.msg", "mqtt.conack.flags.sp", "mqtt.conack.val",
          "mqtt.connack.reason_code", "mqtt.puback.reason_code", "mqtt.pubrec.reason_code", "mqtt.pubrel.reason_code",
          "mqtt.pubcomp.reason_code", "mqtt.suback.reason_code", "mqtt.unsuback.reason_code", "mqtt.disconnect.reason_code",
          "mqtt.auth.reason_code", "mqtt.suback.qos", "mqtt.sub.qos", "mqtt.subscription_options", "mqtt.property_id", "mqtt.prop_number",
          "mqtt.prop_string", "mqtt.property.content_type", "mqtt.property.topic_alias", "mqtt.property.max_qos", "mqtt.prop_key",
          "mqtt.prop_value", "_ws.malformed", "_ws.expert.message"]
BETWEEN = ","  # of several values: not in the texts that are compared
EMPTY = "<MISSING>"  # of bytes; empty texts leave nothing, so that what is empty is not compared
SERVER_PORT = 1883
TEXTS = {3, 8, 9, 18, 21, 22, 26, 28, 31}  # properties that are texts or bytes


def segment(to_server, port, seq, data):
    """One IPv4 packet, without check sums, which tshark does not look at."""
    ports = (port, SERVER_PORT) if to_server else (SERVER_PORT, port)
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, 0, 5 << 4, 0x18, 65535, 0, 0) + data
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, bytes([192, 0, 2, 2 - to_server]), bytes([192, 0, 2, 1 + to_server])) + tcp


def write_capture(out, conversations):
    """conversations: [[(to_server, bytes of one packet)]]"""
    out.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))  # raw IP
    for number, packets in enumerate(conversations):
        seqs = {True: 1, False: 1}
        for to_server, data in packets:
            raw = segment(to_server, 2000 + number, seqs[to_server], data)
            seqs[to_server] += len(data)
            out.write(struct.pack("=IIII", 0, 0, len(raw), len(raw)) + raw)
    out.flush()


def read(conversations):
    """{(conversation, to_server, offset of the packet): {field: [values]}}"""
    found = {}
    with tempfile.NamedTemporaryFile(suffix=".pcap") as out:
        write_capture(out, conversations)
        command = ["tshark", "-r", out.name, "-d", f"tcp.port=={SERVER_PORT},mqtt", "-o", "mqtt.show_msg_as_text:FALSE", "-T", "fields",
                   "-E", "occurrence=a", "-E", f"aggregator={BETWEEN}", *(part for field in FIELDS for part in ("-e", field))]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    for line in done.stdout.split("\n"):
        values = line.split("\t")
        if len(values) == len(FIELDS):
            row = {name: [v for v in value.split(BETWEEN) if v not in ("", EMPTY)] for name, value in zip(FIELDS, values)}
            to_server = row["tcp.dstport"] == [str(SERVER_PORT)]
            port = int(row["tcp.srcport" if to_server else "tcp.dstport"][0])
            found[port - 2000, to_server, int(row["tcp.seq_raw"][0]) - 1] = row
    return found


def number(text):
    return {"True": 1, "False": 0}.get(text, None) if text in ("True", "False") else int(text, 0)


def numbers(row, *fields):
    return sorted(number(v) for field in fields for v in row[field])


def summary_of_row(row):
    """What tshark says, in a form that ours can be brought to as well."""
    kind = number(row["mqtt.msgtype"][0])
    said = {"kind": kind, "properties": numbers(row, "mqtt.property_id"),
            "numbers": numbers(row, "mqtt.prop_number", "mqtt.property.topic_alias", "mqtt.property.max_qos"),
            "texts": sorted(row["mqtt.prop_string"] + row["mqtt.property.content_type"]),
            "keys": row["mqtt.prop_key"], "values": row["mqtt.prop_value"]}
    reasons = [v for name in ("connack", "puback", "pubrec", "pubrel", "pubcomp", "disconnect", "auth") for v in row[f"mqtt.{name}.reason_code"]]
    if kind == 1:
        has_will = number(row["mqtt.conflag.willflag"][0])
        said.update(version=numbers(row, "mqtt.ver"), clean=numbers(row, "mqtt.conflag.cleansess"), keepalive=numbers(row, "mqtt.kalive"),
                    client=row["mqtt.clientid"], user=row["mqtt.username"], password=row["mqtt.passwd"], willtopic=row["mqtt.willtopic"],
                    willpayload=[v.replace(":", "") for v in row["mqtt.willmsg"]],
                    willqos=numbers(row, "mqtt.conflag.qos") if has_will else [],
                    willretain=numbers(row, "mqtt.conflag.retain") if has_will else [])
    elif kind == 2:
        said.update(present=numbers(row, "mqtt.conack.flags.sp"), reason=numbers(row, "mqtt.conack.val") or [number(reasons[0])])
    elif kind == 3:
        said.update(dup=numbers(row, "mqtt.dupflag"), qos=numbers(row, "mqtt.qos"), retain=numbers(row, "mqtt.retain"), topic=row["mqtt.topic"],
                    id=numbers(row, "mqtt.msgid") or [0], payload=[v.replace(":", "") for v in row["mqtt.msg"]])
    elif kind in (4, 5, 6, 7):
        said.update(id=numbers(row, "mqtt.msgid"), reason=[number(v) for v in reasons] or [0])
    elif kind in (8, 10):
        options = [number(v) for v in row["mqtt.subscription_options"]]
        said.update(id=numbers(row, "mqtt.msgid"), filter=row["mqtt.topic"], options=options or [number(v) for v in row["mqtt.sub.qos"]])
    elif kind in (9, 11):
        codes = row["mqtt.suback.reason_code"] or row["mqtt.unsuback.reason_code"] or row["mqtt.suback.qos"]
        said.update(id=numbers(row, "mqtt.msgid"), codes=[number(v) for v in codes])
    elif kind in (14, 15):
        said.update(reason=[number(v) for v in reasons] or [0])
    return said


def text(hex_digits):
    return bytes.fromhex(hex_digits).decode(errors="replace")


def summary_of_ours(kind, fields):
    """The same of what mqtt_tool said: `fields` are its pairs, in order."""
    by_name = collections.defaultdict(list)
    said = {"kind": kind, "properties": [], "numbers": [], "texts": [], "keys": [], "values": []}
    for name, value in fields:
        if name[0] in "pw" and name[1:].isdigit():
            which = int(name[1:])
            said["properties"].append(which)
            if which == 38:
                key, value = map(text, value.split(":"))
                said["keys"] += [key] if key else []
                said["values"] += [value] if value else []
            elif which in TEXTS:
                said["texts"] += [text(value)] if value else []
            else:
                said["numbers"].append(int(value))
        else:
            by_name[name].append(value)
    for values in (said["properties"], said["numbers"], said["texts"]):
        values.sort()

    def plain(*names, of=int):
        said.update({name: [of(v) for v in by_name[name]] for name in names})

    if kind == 1:
        plain("version", "clean", "keepalive", "willqos", "willretain")
        plain("client", "user", "password", "willtopic", of=text)
        plain("willpayload", of=str)
        for name in ("client", "user", "password", "willpayload"):  # what is empty tshark does not show
            said[name] = [v for v in said[name] if v]
    elif kind == 2:
        plain("present", "reason")
    elif kind == 3:
        plain("dup", "qos", "retain", "id")
        said.update(topic=[text(v) for v in by_name["topic"] if v], payload=[v for v in by_name["payload"] if v])
    elif kind in (4, 5, 6, 7):
        plain("id", "reason")
    elif kind in (8, 10):
        parts = [v.split(":") for v in by_name["filter"]]
        plain("id")
        said.update(filter=[text(p[0]) for p in parts],
                    options=[int(p[1]) | int(p[2]) << 2 | int(p[3]) << 3 | int(p[4]) << 4 for p in parts if len(p) == 5])
    elif kind in (9, 11):
        plain("id")
        said.update(codes=list(bytes.fromhex(by_name["codes"][0])))
    elif kind in (14, 15):
        plain("reason")
    return said
