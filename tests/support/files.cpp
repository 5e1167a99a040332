// Reference data: where it is, and its tables.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "unit/support.h"

namespace many::test {
namespace {

std::vector<std::string> split_line(const std::string& line) {
    std::vector<std::string> cells;
    std::string cell;
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            cells.push_back(cell);
            cell.clear();
        } else if (c != '\r') {
            cell += c;
        }
    }
    cells.push_back(cell);
    return cells;
}

}  // namespace

std::string shared_dir() {
    const char* from_env = std::getenv("MANY_SHARED_DATA");
    const std::string dir = from_env != nullptr ? from_env : MANY_SHARED_DATA_DIR;
    return std::ifstream(dir + "/data/README.md").good() ? dir + "/data"
           : std::ifstream(dir + "/README.md").good()    ? dir
                                                         : std::string();
}

Csv read_csv(const std::string& path) {
    std::string text;
    if (path.ends_with(".gz")) {
        FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
        if (pipe == nullptr) throw std::runtime_error("cannot run gzip");
        char buffer[65536];
        for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
            text.append(buffer, n);
        }
        if (pclose(pipe) != 0) throw std::runtime_error("cannot read " + path);
    } else {
        std::ifstream in(path);
        if (!in) throw std::runtime_error("cannot read " + path);
        std::stringstream all;
        all << in.rdbuf();
        text = all.str();
    }
    Csv csv;
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    csv.header = split_line(line);
    while (std::getline(lines, line)) {
        if (!line.empty()) csv.rows.push_back(split_line(line));
    }
    return csv;
}

}  // namespace many::test
