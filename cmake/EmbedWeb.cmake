# cmake -DROOT=web -DEXTRA=PATH=FILE;... -DOUT=DIR -P EmbedWeb.cmake
# Writes DIR/assets.S, which takes every file of ROOT (plain, and gzip where that is smaller) into read-only
# data by .incbin, and DIR/assets_table.c, which says where each one is, its type and its SHA-256 as ETag.
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/*)
list(SORT files)
set(entries "")
foreach(name IN LISTS files)
    list(APPEND entries "/${name}=${ROOT}/${name}")
endforeach()
list(APPEND entries ${EXTRA})

function(type_of name out)
    set(type "text/plain; charset=utf-8")
    foreach(pair "html|text/html; charset=utf-8" "js|text/javascript; charset=utf-8" "css|text/css; charset=utf-8"
                 "svg|image/svg+xml; charset=utf-8" "woff2|font/woff2" "json|application/json")
        string(REGEX MATCH "^([^|]*)\\|(.*)$" _ "${pair}")
        if("${name}" MATCHES "\\.${CMAKE_MATCH_1}$")
            string(REGEX REPLACE "^[^|]*\\|" "" type "${pair}")
        endif()
    endforeach()
    set(${out} "${type}" PARENT_SCOPE)
endfunction()

set(asm ".section .rodata\n")
set(externs "")
set(rows "")
set(index 0)
macro(take symbol file)
    string(APPEND asm ".balign 16\n.global ${symbol}\n.hidden ${symbol}\n${symbol}:\n.incbin \"${file}\"\n")
    string(APPEND externs "extern const uint8_t ${symbol}[];\n")
endmacro()
file(MAKE_DIRECTORY ${OUT}/gzip)
foreach(entry IN LISTS entries)
    string(REGEX REPLACE "^([^=]*)=.*$" "\\1" path "${entry}")
    string(REGEX REPLACE "^[^=]*=" "" file "${entry}")
    set(symbol "asset_${index}")
    set(small "${OUT}/gzip/${index}")
    execute_process(COMMAND gzip -9nc ${file} OUTPUT_FILE ${small} COMMAND_ERROR_IS_FATAL ANY)
    file(SIZE ${file} len)
    file(SIZE ${small} small_len)
    file(SHA256 ${file} digest)
    type_of("${path}" type)
    take(${symbol} ${file})
    set(gzip "{0}")
    if(small_len LESS len)
        take(${symbol}_gzip ${small})
        set(gzip "{.at = ${symbol}_gzip, .len = ${small_len}}")
    endif()
    string(APPEND rows "    {\"${path}\", \"${type}\", \"\\\"${digest}\\\"\", {.at = ${symbol}, .len = ${len}}, ${gzip}},\n")
    math(EXPR index "${index} + 1")
endforeach()
string(APPEND asm "#ifdef __CET__\n#include <cet.h>\n#endif\n") # the mark of -fcf-protection
string(APPEND asm ".section .note.GNU-stack,\"\",%progbits\n")
file(WRITE ${OUT}/assets.S "${asm}")
file(WRITE ${OUT}/assets_table.c "/* Made by cmake/EmbedWeb.cmake. */
#include \"role/assets.h\"

${externs}
const struct asset assets[] = {
${rows}};
const size_t assets_count = COUNT_OF(assets);
")
