"""Starter aliases of tags; aliases that curators add are in the database (ADR 0010)."""

from collections.abc import Mapping
from types import MappingProxyType

STARTER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        # Usual spellings that have characters which no tag may have.
        "c++": "cpp",
        "c++11": "cpp11",
        "c++14": "cpp14",
        "c++17": "cpp17",
        "c++20": "cpp20",
        "c++23": "cpp23",
        "g++": "gcc",
        "clang++": "clang",
        "objective-c++": "objective-cpp",
        "notepad++": "notepad-plus-plus",
        "c#": "csharp",
        "f#": "fsharp",
        # Languages.
        "cplusplus": "cpp",
        "c-sharp": "csharp",
        "f-sharp": "fsharp",
        "golang": "go",
        "go-lang": "go",
        "js": "javascript",
        "ts": "typescript",
        "py": "python",
        "python3": "python",
        "rb": "ruby",
        "rustlang": "rust",
        "rust-lang": "rust",
        "objc": "objective-c",
        "obj-c": "objective-c",
        "vbnet": "vb.net",
        "pwsh": "powershell",
        # Frameworks and libraries.
        ".net": "dotnet",
        "dot-net": "dotnet",
        ".net-core": "dotnet-core",
        "aspnet": "asp.net",
        "aspnetcore": "asp.net-core",
        "aspnet-core": "asp.net-core",
        "nodejs": "node.js",
        "node-js": "node.js",
        "nextjs": "next.js",
        "next-js": "next.js",
        "reactjs": "react",
        "react-js": "react",
        "react.js": "react",
        "vuejs": "vue",
        "vue-js": "vue",
        "vue.js": "vue",
        "expressjs": "express",
        "express.js": "express",
        "ruby-on-rails": "rails",
        "springboot": "spring-boot",
        "sklearn": "scikit-learn",
        "tailwind": "tailwindcss",
        "tailwind-css": "tailwindcss",
        # Databases.
        "postgres": "postgresql",
        "pgsql": "postgresql",
        "mongo": "mongodb",
        "sqlite3": "sqlite",
        "mssql": "sql-server",
        "sqlserver": "sql-server",
        "pl-pgsql": "plpgsql",
        # Tools and platforms.
        "k8s": "kubernetes",
        "gh-actions": "github-actions",
        "cicd": "ci-cd",
        "osx": "macos",
        "os-x": "macos",
        "vs-code": "vscode",
        "visual-studio-code": "vscode",
    }
)
"""The canonical name by spelling. A spelling is trimmed, in lower case and in NFKC, with `-` for spaces and slashes; no
canonical name is a spelling of another. What could mean two things, such as `tf`, is left out."""
