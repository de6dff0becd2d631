/// Strings that JSON Schema's formats name, as patterns that the whole string must match. A format that is not here is an
/// annotation, as the specification has it (2020-12, Validation 7.2.1).
enum Formats {
    private static let fullDate =
        "((?:[0-9]{4})-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        + "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    private static let partialTime = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"
    private static let offset = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
    private static let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    private static let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    private static let atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
    /// A character of a path that is neither a slash nor a colon.
    private static let piece = "[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9a-fA-F]{2}"
    private static let h = "[0-9a-fA-F]{1,4}"

    private static var ipv6: String {
        var parts = ["(?:\(h):){7}\(h)", "(?:\(h):){6}\(byte)(?:\\.\(byte)){3}"]
        // Before and behind the double colon, seven groups together at most.
        for before in 0...7 {
            let head = before == 0 ? "" : "\(h)(?::\(h)){\(before - 1)}"
            let behind = 7 - before
            let tail = behind == 0 ? "" : "(?:\(h)(?::\(h)){0,\(behind - 1)})?"
            parts.append(head + "::" + tail)
        }
        return "(?:" + parts.joined(separator: "|") + ")"
    }

    /// Formats of the specification that are no regular languages, or none that anybody checks alike.
    static let beyond: Set<String> = [
        "idn-email", "idn-hostname", "iri", "iri-reference", "regex", "uri-template",
    ]

    static func pattern(_ name: String) -> String? {
        switch name {
        case "date": fullDate
        case "time": partialTime + offset
        case "date-time": fullDate + "[Tt]" + partialTime + offset
        case "duration":
            "P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))?|T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))"
        case "email": "\(atom)(?:\\.\(atom))*@\(label)(?:\\.\(label))*"
        case "hostname": "\(label)(?:\\.\(label)){0,3}"
        case "ipv4": "\(byte)(?:\\.\(byte)){3}"
        case "ipv6": ipv6
        case "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
        case "uri":
            "[a-zA-Z][a-zA-Z0-9+.-]*:(?://(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|%[0-9a-fA-F]{2})*(?:@(?:[a-zA-Z0-9._~!$&'()*+,;=-]|%[0-9a-fA-F]{2})*(?::[0-9]*)?)?(?:/(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})*)*|/?(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})(?:[a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9a-fA-F]{2})*)(?:\\?(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?(?:#(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?"
        case "uri-reference":
            "(?:[a-zA-Z][a-zA-Z0-9+.-]*:(?:\(piece)|[/:])*|(?:\(piece))*(?:/(?:\(piece)|[/:])*)?)(?:\\?(?:\(piece)|[/:?])*)?(?:#(?:\(piece)|[/:?])*)?"
        case "json-pointer": "(?:/(?:[^~/]|~[01])*)*"
        case "relative-json-pointer": "(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)"
        default: nil
        }
    }
}
