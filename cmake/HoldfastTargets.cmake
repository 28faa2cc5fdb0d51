# holdfast_pure(NAME SOURCES ... USES ...): a layer that knows no operating system. Strict C17 without a
# feature macro, so that a clock or a socket is not even declared there.
function(holdfast_pure name)
    cmake_parse_arguments(A "" "" "SOURCES;USES" ${ARGN})
    add_library(${name} STATIC ${A_SOURCES})
    target_compile_options(${name} PRIVATE -std=c17 -pedantic-errors)
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name} PUBLIC ${A_USES})
    set_property(GLOBAL APPEND PROPERTY HOLDFAST_PURE ${name})
endfunction()

# holdfast_world(NAME SOURCES ... USES ...): a layer that may speak to the operating system.
function(holdfast_world name)
    cmake_parse_arguments(A "" "" "SOURCES;USES" ${ARGN})
    add_library(${name} STATIC ${A_SOURCES})
    target_compile_definitions(${name} PRIVATE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${name} PUBLIC ${A_USES})
endfunction()

# holdfast_test(NAME SOURCES ... USES ...): an executable of unit tests (src/test/test.h), run by ./test.
function(holdfast_test name)
    if(HOLDFAST_FUZZ)
        return()
    endif()
    cmake_parse_arguments(A "" "" "SOURCES;USES" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_compile_definitions(${name} PRIVATE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
    target_link_libraries(${name} PRIVATE test_main ${A_USES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/unit)
endfunction()

# holdfast_use_stub(NAME): the executable gets the simulations' cipher (src/crypto/stub) in the place of the real one.
function(holdfast_use_stub name)
    if(TARGET ${name})
        target_sources(${name} PRIVATE $<TARGET_OBJECTS:crypto_stub>)
    endif()
endfunction()

# holdfast_sim_test(NAME SOURCES ... USES ...): a test of the simulated world, twice: NAME over the real cipher, and
# NAME_stub over the stub.
function(holdfast_sim_test name)
    holdfast_test(${name} ${ARGN})
    holdfast_test(${name}_stub ${ARGN})
    holdfast_use_stub(${name}_stub)
endfunction()

# holdfast_fuzz(NAME SOURCES ... USES ...): a libFuzzer target, corpus in tests/fuzz/corpus/NAME. In other
# builds the same source is linked with tests/fuzz/replay.c, which runs the corpus once.
function(holdfast_fuzz name)
    cmake_parse_arguments(A "" "" "SOURCES;USES" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE ${A_USES})
    if(HOLDFAST_FUZZ)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    endif()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()
