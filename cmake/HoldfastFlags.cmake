# Flags that every file of the project gets; gcc and clang both build it without a warning.
add_compile_options(
    -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wswitch-enum -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wold-style-definition -Wundef -Wcast-qual -Wcast-align -Wformat=2
    -Wwrite-strings -Wpointer-arith -Wdouble-promotion -Wimplicit-fallthrough -Wdate-time
    -Wframe-larger-than=16384 -Wno-missing-field-initializers
    -g -fno-omit-frame-pointer -fstack-protector-strong -fvisibility=hidden
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
if(HOLDFAST_WERROR)
    add_compile_options(-Werror)
endif()
if(NOT HOLDFAST_SANITIZE AND NOT HOLDFAST_FUZZ)
    add_compile_options(-fstack-clash-protection -fcf-protection)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_compile_options(-O0)
endif()
add_link_options(-Wl,-z,relro,-z,now)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    # Debian's start files carry no mark, and the linker keeps it only where all do; they only call and return.
    add_link_options(-Wl,-z,shstk)
endif()
if(HOLDFAST_SANITIZE)
    add_compile_options(-O1 -fsanitize=address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
endif()
if(HOLDFAST_FUZZ)
    add_compile_options(-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
endif()
if(HOLDFAST_COVERAGE)
    add_compile_options(-O0 --coverage -DHOLDFAST_COVERAGE)
    add_link_options(--coverage)
endif()
find_program(CCACHE ccache)
if(CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
