/// Rows of text in columns.
struct TextTable {
    private var rows: [[String]]

    init(_ header: [String]) { rows = [header] }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// As Markdown, numbers to the right.
    var text: String {
        let widths = widths
        func line(_ row: [String]) -> String {
            let cells = row.enumerated().map { column, cell in
                cell.padded(to: widths[column], isLeft: column == 0)
            }
            return "| " + cells.joined(separator: " | ") + " |"
        }
        let rule = widths.enumerated().map { column, width in
            column == 0
                ? String(repeating: "-", count: width)
                : String(repeating: "-", count: width - 1) + ":"
        }
        return
            ([line(rows[0]), "| " + rule.joined(separator: " | ") + " |"]
            + rows.dropFirst().map(line))
            .joined(separator: "\n")
    }

    /// As plain columns for a terminal.
    ///
    /// - Parameter left: headers of the columns whose texts begin below each other; the others end so.
    func columns(left: Set<String>) -> String {
        let widths = widths
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                cell.padded(to: widths[column], isLeft: left.contains(rows[0][column]))
            }
            let line = cells.joined(separator: "  ")
            return String(line.prefix(line.count - line.reversed().prefix { $0 == " " }.count))
        }.joined(separator: "\n")
    }

    private var widths: [Int] {
        rows[0].indices.map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
    }
}

extension String {
    fileprivate func padded(to width: Int, isLeft: Bool) -> String {
        let padding = String(repeating: " ", count: max(0, width - count))
        return isLeft ? self + padding : padding + self
    }

    /// Followed by as many spaces as a column has left, and at least one.
    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }
}
